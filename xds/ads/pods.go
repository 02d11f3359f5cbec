package ads

import (
	"slices"
	"strconv"

	"github.com/fairlead/fairlead/mesh"
)

// podIndex finds the streams of a pod. There is one for each pod, the newest:
// a stream's pod is the same for its life. All under Server.mu.
type podIndex struct {
	byUID  map[string]*stream
	byName map[mesh.Name][]*stream // a name is used again for another pod
}

func newPodIndex() podIndex {
	return podIndex{byUID: make(map[string]*stream), byName: make(map[mesh.Name][]*stream)}
}

// add makes s the stream of its pod and returns the one that it takes the place of.
func (x *podIndex) add(s *stream) (older *stream) {
	c := s.client.Load()
	if c.PodUID != "" {
		older = x.byUID[c.PodUID]
		if older != nil {
			x.remove(older)
		}
		x.byUID[c.PodUID] = s
	}
	if !c.Pod.IsZero() {
		x.byName[c.Pod] = append(x.byName[c.Pod], s)
	}
	return older
}

// remove forgets s, if it is known.
func (x *podIndex) remove(s *stream) {
	c := s.client.Load()
	if x.byUID[c.PodUID] == s {
		delete(x.byUID, c.PodUID)
	}
	list := x.byName[c.Pod]
	if i := slices.Index(list, s); i >= 0 {
		list = slices.Delete(list, i, i+1)
		x.byName[c.Pod] = list
	}
	if len(list) == 0 {
		delete(x.byName, c.Pod)
	}
}

// streamsOf returns the streams of the pods.
func (srv *Server) streamsOf(pods []mesh.Name) (list []*stream) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, name := range pods {
		list = append(list, srv.pods.byName[name]...)
	}
	return list
}

// pod tells the streams of one pod from those of others: by its UID, or if the
// token says none each stream is one.
func (s *stream) pod() string {
	if uid := s.client.Load().PodUID; uid != "" {
		return uid
	}
	return "stream " + strconv.FormatUint(s.id, 10)
}
