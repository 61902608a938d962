// Package lab runs real processes on hosts of their own and breaks them: Linux network namespaces with one bridge, kills,
// pauses, partitions, losses, delays, full and corrupted disks, in schedules that a seed makes. It serves tests and soaks
// only, and needs root and Debian's iproute2 and nftables ([Available] says what is missing).
//
//	l, err := lab.New(dir)
//	defer l.Close()
//	a, err := l.Host("a")
//	p, err := a.Start("server", lab.Spec{Args: []string{conclave, "server", "run", "--data", data}})
//
// Every [Fault] can say whether it took effect: a test under a fault that did nothing shows nothing. Processes are ended
// by their ids only. What the kernel keeps (namespaces, links, mounts) goes with Close, and what a killed run left behind
// goes when the next one takes its place.
//
// There is no fault of the clock: the product takes no time from the environment, and the clock of the machine is
// everybody's. The pure packages take time as a parameter; their tests set it.
package lab
