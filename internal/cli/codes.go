package cli

import (
	"github.com/fairlead/fairlead/mesh/manifests"
	"github.com/fairlead/fairlead/policy"
)

// AllCodes lists the codes of everything that lint can say, of reading manifests
// (FL01) and of what they mean (FL02).
func AllCodes() []policy.CodeInfo {
	codes := make([]policy.CodeInfo, 0, len(manifestCodes))
	for _, c := range manifestCodes {
		codes = append(codes, policy.CodeInfo{Code: string(c.code), Severity: policy.Error, Title: c.title, Doc: c.doc})
	}
	return append(codes, policy.Codes()...)
}

// manifestCodes describes the problems of reading manifests.
var manifestCodes = []struct {
	code       manifests.Code
	title, doc string
}{
	{manifests.CodeUnreadable, "file cannot be read",
		"A file or folder cannot be opened. A running mesh keeps what it last read of it. Check that it exists and its mode."},
	{manifests.CodeSyntax, "not YAML",
		"The text is neither YAML nor JSON. Of a file with a broken document nothing new is taken; what it last said stays."},
	{manifests.CodeTooMuch, "beyond a bound",
		"The file, the number of its documents or the expansion of its aliases is beyond what is read. Split the file, or write aliases out."},
	{manifests.CodeNoKind, "no kind",
		"The document looks like a Kubernetes object but has no kind or no apiVersion."},
	{manifests.CodeUnknownField, "unknown field",
		"The type has no such field, so the API server would drop or refuse it. Most often it is misspelt or at the wrong depth."},
	{manifests.CodeWrongType, "wrong type of value",
		"The field cannot hold such a value: a string where a number is wanted, for example."},
	{manifests.CodeTwice, "key twice",
		"The same key stands twice in one mapping, and YAML does not say which of them counts. Remove one."},
	{manifests.CodeName, "bad name",
		"The object has no name, or its name or namespace is not one that Kubernetes allows."},
	{manifests.CodeDuplicate, "object twice",
		"The same object stands in two places; only one of them counts. Remove the other."},
	{manifests.CodeVersion, "apiVersion not served",
		"The apiVersion is not served any more, or not yet. Use the one that is named."},
	{manifests.CodeInvalid, "invalid value",
		"The API server would refuse this value."},
	{manifests.CodeGone, "folder is gone",
		"The folder of manifests is not there any more. A running mesh keeps all that it last read."},
	{manifests.CodeNoAddress, "no address left",
		"No address is left in the range from which Services without a cluster IP get one. Widen the range."},
	{manifests.CodeSharedIP, "cluster IP twice",
		"Two Services claim the same cluster IP; one of them gets the calls. Change the other."},
}
