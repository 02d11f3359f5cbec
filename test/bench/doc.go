// Command bench measures Fairlead against the sizes that it promises to hold,
// with its peers side by side in the same run.
//
// In: flags only (which parts, how many proxies, how many rounds). Out: a table
// for a person on standard output, and a list of {name, value, unit, peer, ratio}
// in a JSON file. A target that is missed is printed and fails nothing: this is a
// measurement, not a test.
//
// The servers and the fake proxies are processes of their own (hidden commands
// serve and drive of the same binary), so that the CPU time and the memory of one
// are not mixed with those of the other. They speak over loopback only; the
// clock that both read is CLOCK_MONOTONIC, which is one for the whole machine.
package main
