package mesh

// ObjectKind is the kind of an object that a Batch deletes.
type ObjectKind uint8

// The kinds of objects that a Store holds.
const (
	ObjectService ObjectKind = iota + 1
	ObjectSlice
	ObjectPod
	ObjectNamespace
	ObjectServiceAccount
	ObjectHTTPRoute
	ObjectGRPCRoute
)

// Object names an object. A Namespace has only Name.Name.
type Object struct {
	Kind ObjectKind
	Name Name
}

// Batch is a set of changes that become visible together. Deleted objects go
// first, so an object that is deleted and given again is replaced; of an object
// that is given twice the last one counts. The Store keeps the values it is given:
// whoever made them must not modify them afterwards.
type Batch struct {
	Services   []*Service
	Slices     []*Slice
	Pods       []*Pod
	Namespaces []*Namespace
	Accounts   []*ServiceAccount
	Routes     []*Route
	Deleted    []Object
	// Settings, if set, replaces the present ones.
	Settings *Settings
}

// Empty reports that the batch asks for nothing.
func (b *Batch) Empty() bool {
	return len(b.Services)+len(b.Slices)+len(b.Pods)+len(b.Namespaces)+
		len(b.Accounts)+len(b.Routes)+len(b.Deleted) == 0 && b.Settings == nil
}
