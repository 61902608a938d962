package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// firstWire is the last byte of the first address of a wire: hosts have those below.
const firstWire = 100

// Wires carries all connections between some hosts to some ports through proxies, one for each ordered pair and port, so
// that bytes under way can be delayed, stalled and changed. Hosts do not notice: they dial each other's addresses, and
// see connections that come from a wire's.
type Wires struct {
	lab   *Lab
	wires []wire
}

// wire is what one host dials of another.
type wire struct {
	from, to *Host
	address  netip.Addr
	proxies  []*Proxy
}

// Wire lays wires between the hosts. Call it once a lab, before anybody dials.
func (l *Lab) Wire(hosts []*Host, ports ...int) (*Wires, error) {
	w := &Wires{lab: l}
	l.mu.Lock()
	l.wires = append(l.wires, w) // Close closes them
	l.mu.Unlock()
	for _, from := range hosts {
		for _, to := range hosts {
			if from == to {
				continue
			}
			if err := w.lay(from, to, ports); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

func (w *Wires) lay(from, to *Host, ports []int) error {
	n := firstWire + len(w.wires)
	if n > 254 {
		return errors.New("too many wires for one lab")
	}
	one := wire{from: from, to: to, address: w.lab.address(n)}
	if err := run("ip", "addr", "add", one.address.String()+"/32", "dev", w.lab.bridge()); err != nil {
		return err
	}
	defer func() { w.wires = append(w.wires, one) }()
	for _, port := range ports {
		p, err := NewProxy(netip.AddrPortFrom(one.address, uint16(port)).String(), netip.AddrPortFrom(to.Address(), uint16(port)).String(), one.address)
		if err != nil {
			return err
		}
		one.proxies = append(one.proxies, p)
		rule := fmt.Sprintf("ip daddr %s tcp dport %d dnat to %s", to.Address(), port, one.address)
		if err := from.nft("add", "rule", "ip", table, "wires", rule); err != nil {
			return err
		}
	}
	return nil
}

// lane is one way through one proxy.
type lane struct {
	proxy *Proxy
	way   Way
}

// between returns the lanes that carry what one group says to the other.
func (w *Wires) between(from, to []*Host) []lane {
	var found []lane
	for _, one := range w.wires {
		for _, p := range one.proxies {
			if slices.Contains(from, one.from) && slices.Contains(to, one.to) {
				found = append(found, lane{p, Forth})
			}
			if slices.Contains(from, one.to) && slices.Contains(to, one.from) {
				found = append(found, lane{p, Back})
			}
		}
	}
	return found
}

// addresses returns every address under which packets of one host to another travel: with wires, their addresses too.
func (w *Wires) addresses(from, to *Host) []netip.Addr {
	list := []netip.Addr{to.Address()}
	if w == nil {
		return list
	}
	for _, one := range w.wires {
		if one.from == from && one.to == to || one.from == to && one.to == from {
			list = append(list, one.address)
		}
	}
	return list
}

// end ends all proxies. Their addresses go with the bridge.
func (w *Wires) end() error {
	var err error
	for _, one := range w.wires {
		for _, p := range one.proxies {
			err = errors.Join(err, p.Close())
		}
	}
	return err
}
