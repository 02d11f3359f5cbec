package ads

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of one request. Envoy names what it holds and what it wants when it
// reconnects, so they are above what a client may hold (Config.MaxHeld): a request
// that is refused comes again, for ever. Each of the three lists has its own.
const (
	maxRequestBytes = 8 << 20
	maxRequestNames = 2 * defaultMaxHeld
	maxNameBytes    = 1024
	maxNodeBytes    = 256
	maxErrorBytes   = 512
)

// request is a DeltaDiscoveryRequest, as far as the server uses it. Reading it
// by hand spares the acknowledgements, which are nearly all of the requests,
// every allocation. Its strings do not point into the wire bytes.
type request struct {
	typ         Type
	known       bool   // typ is one that is served
	typeURL     string // set if not known
	node        string // node.id, if sent
	subscribe   []string
	unsubscribe []string
	initial     map[string]string // name -> version
	nonce       uint64            // 0: none, or not one of ours
	rejected    bool
	reason      string // of the rejection
	excess      int    // names beyond maxRequestNames, which were left out
}

// reset makes r ready for the next request.
func (r *request) reset() { *r = request{} }

var errTruncated = errors.New("truncated field")

// decode reads the wire form of envoy.service.discovery.v3.DeltaDiscoveryRequest.
func (r *request) decode(b []byte) error {
	var names [8]int // by field
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		if typ != protowire.BytesType || num > 7 {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return errTruncated
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		if num >= 3 && num <= 5 {
			if names[num]++; names[num] > maxRequestNames {
				r.excess++
				continue
			}
		}
		if err := r.field(num, v); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) field(num protowire.Number, v []byte) error {
	var err error
	switch num {
	case 1:
		var id []byte
		if id, err = subfield(v, 1); err == nil {
			r.node = sanitize(id, maxNodeBytes)
		}
	case 2:
		r.setType(v)
	case 3:
		r.subscribe, err = appendName(r.subscribe, v)
	case 4:
		r.unsubscribe, err = appendName(r.unsubscribe, v)
	case 5:
		err = r.setInitial(v)
	case 6:
		r.nonce, _ = strconv.ParseUint(string(v), 10, 64)
	case 7:
		r.rejected = true
		var text []byte
		if text, err = subfield(v, 2); err == nil {
			r.reason = sanitize(text, maxErrorBytes)
		}
	}
	return err
}

func (r *request) setType(v []byte) {
	for t := range numTypes {
		if string(v) == typeURLs[t] {
			r.typ, r.known, r.typeURL = t, true, ""
			return
		}
	}
	r.known, r.typeURL = false, sanitize(v, maxNodeBytes)
}

func (r *request) setInitial(v []byte) error {
	name, err := subfield(v, 1)
	if err != nil {
		return err
	}
	version, err := subfield(v, 2)
	if err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return err
	}
	if r.initial == nil {
		r.initial = make(map[string]string)
	}
	if len(version) > maxNameBytes || !utf8.Valid(version) {
		version = nil
	}
	r.initial[string(name)] = string(version)
	return nil
}

func appendName(list []string, v []byte) ([]string, error) {
	if err := checkName(v); err != nil {
		return list, err
	}
	return append(list, string(v)), nil
}

func checkName(v []byte) error {
	if len(v) > maxNameBytes {
		return fmt.Errorf("resource name of %d bytes; at most %d are allowed", len(v), maxNameBytes)
	}
	if !utf8.Valid(v) {
		return errors.New("resource name is not valid UTF-8")
	}
	return nil
}

// subfield returns the last length-delimited field num of the message b, nil if
// it has none.
func subfield(b []byte, want protowire.Number) ([]byte, error) {
	var found []byte
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, errTruncated
		}
		b = b[n:]
		if num == want && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return nil, errTruncated
			}
			found, b = v, b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return nil, errTruncated
		}
		b = b[n:]
	}
	return found, nil
}

// sanitize makes a text of the client's fit for logs: valid UTF-8, no control
// characters, bounded.
func sanitize(b []byte, limit int) string {
	cut := len(b) > limit
	if cut {
		b = b[:limit]
	}
	out := make([]rune, 0, len(b))
	for _, c := range string(b) {
		if c < ' ' || c == 0x7f || c == utf8.RuneError || c >= 0x80 && c < 0xa0 {
			c = ' '
		}
		out = append(out, c)
	}
	if cut {
		out = append(out, '…')
	}
	return string(out)
}
