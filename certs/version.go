package certs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// maxVersion is longer than any version of ours; versions come from the network.
const maxVersion = 96

// leafVersion is what Leaf.Version says: "<notAfter>.<life>.<issuer key id>.<mac>",
// both numbers in seconds. The MAC binds it to the identity and to the issuer's
// certificates, so that neither another pod's version nor one from before a change
// of the chain passes for this pod's.
type leafVersion struct {
	notAfter    int64
	life        int64
	issuerKeyID string
}

func (v leafVersion) text() string {
	b := make([]byte, 0, maxVersion)
	b = append(strconv.AppendInt(b, v.notAfter, 10), '.')
	b = append(strconv.AppendInt(b, v.life, 10), '.')
	return string(append(b, v.issuerKeyID...))
}

// sign returns the version with its MAC.
func (v leafVersion) sign(key []byte, id mesh.Identity) string {
	text := v.text()
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text + "\x00" + id.String()))
	return text + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// parseVersion reads what sign wrote for the same key and identity.
func parseVersion(s string, key []byte, id mesh.Identity) (leafVersion, bool) {
	if len(s) > maxVersion {
		return leafVersion{}, false
	}
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return leafVersion{}, false
	}
	notAfter, err1 := strconv.ParseInt(parts[0], 10, 64)
	life, err2 := strconv.ParseInt(parts[1], 10, 64)
	v := leafVersion{notAfter: notAfter, life: life, issuerKeyID: parts[2]}
	if err1 != nil || err2 != nil || !hmac.Equal([]byte(v.sign(key, id)), []byte(s)) {
		return leafVersion{}, false
	}
	return v, true
}

// RenewAt is when a leaf issued and expiring at these times is to be replaced:
// between 50% and 60% of its life, by r in [0, 1). Leaves that were issued in one
// storm thus do not come back as one.
func RenewAt(issued, notAfter time.Time, r float64) time.Time {
	life := float64(notAfter.Sub(issued))
	return issued.Add(time.Duration(life * (0.5 + 0.1*r)))
}

// StillGood says whether a proxy that reports to hold the leaf of this version
// needs no other: it was issued for id, by the present issuer, and is before half
// of its life. renewAt says when it will need one.
func (a *Authority) StillGood(version string, id mesh.Identity, now time.Time) (renewAt time.Time, ok bool) {
	v, ok := parseVersion(version, a.state.Load().signer.versionKey, id)
	if !ok {
		return time.Time{}, false
	}
	life := time.Duration(v.life) * time.Second
	notAfter := time.Unix(v.notAfter, 0)
	issued := notAfter.Add(-life)
	if life > a.ttl { // issued before the time to live was shortened
		return time.Time{}, false
	}
	if now.Before(issued.Add(-backdate(life))) || !now.Before(RenewAt(issued, notAfter, 0)) {
		return time.Time{}, false
	}
	return RenewAt(issued, notAfter, a.jitter()), true
}
