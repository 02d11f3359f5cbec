//go:build !linux

package demo

import (
	"context"
	"fmt"
	"runtime"

	"github.com/fairlead/fairlead/internal/demo/report"
)

// Run returns a NeedError: there are network namespaces on Linux only.
func Run(context.Context, Options) (report.Summary, error) {
	return report.Summary{}, &NeedError{fmt.Errorf(
		"the demo makes network namespaces and needs Linux, this is %s; run it in a Linux virtual machine", runtime.GOOS)}
}
