// Command fairlead is the mesh's command line.
package main

import (
	"os"

	"github.com/fairlead/fairlead/internal/cli"
)

func main() { os.Exit(cli.Main(cli.New(), os.Stderr)) }
