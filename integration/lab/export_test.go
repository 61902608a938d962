package lab

import "errors"

// Abandon leaves a lab as a killed run would: everything stays, nobody holds its place.
func Abandon(l *Lab) error {
	l.closed = true
	var err error
	for _, d := range l.disks {
		err = errors.Join(err, d.unmount())
	}
	return errors.Join(err, l.lock.Close())
}

// Objects reads nft's JSON.
func Objects(raw []byte) (counters map[string]uint64, chains map[int]string, err error) {
	list, err := objects(raw)
	counters, chains = map[string]uint64{}, map[int]string{}
	for _, o := range list {
		if o.Counter != nil {
			counters[o.Counter.Name] = o.Counter.Packets
		}
		if o.Rule != nil && o.Rule.uses("c1") {
			chains[o.Rule.Handle] = o.Rule.Chain
		}
	}
	return counters, chains, err
}

// PID returns the process id.
func PID(p *Process) int { return p.cmd.Process.Pid }

// Bridge returns the name of the lab's bridge.
func Bridge(l *Lab) string { return l.bridge() }
