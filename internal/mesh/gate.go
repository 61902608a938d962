package mesh

import (
	"net"
	"time"
)

// Limits of what strangers can occupy.
const (
	maxHandshakes  = 32 // under way
	maxPerAddress  = 8  // of them, from one IP address
	maxJoining     = 4  // requests to join, under way
	joinEvery      = time.Second
	maxJoinSources = 1024 // IP addresses remembered for joinEvery
)

// gate counts the handshakes under way. The zero value is ready. Its user locks.
type gate struct {
	total int
	from  map[string]int
}

// enter makes room for one more handshake from an IP address, or reports that there is none.
func (g *gate) enter(ip string) bool {
	if g.total >= maxHandshakes || g.from[ip] >= maxPerAddress {
		return false
	}
	if g.from == nil {
		g.from = map[string]int{}
	}
	g.total++
	g.from[ip]++
	return true
}

// leave gives the room back.
func (g *gate) leave(ip string) {
	g.total--
	if g.from[ip]--; g.from[ip] == 0 {
		delete(g.from, ip)
	}
}

// bucket lets one request to join through per IP address and second. The zero value is ready. Its user locks.
type bucket struct {
	next map[string]time.Time // when the address may ask again
}

// take reports whether a request from the IP address may pass now.
func (b *bucket) take(ip string, now time.Time) bool {
	if now.Before(b.next[ip]) {
		return false
	}
	for other, at := range b.next {
		if !now.Before(at) {
			delete(b.next, other)
		}
	}
	if len(b.next) >= maxJoinSources {
		return false
	}
	if b.next == nil {
		b.next = map[string]time.Time{}
	}
	b.next[ip] = now.Add(joinEvery)
	return true
}

// source returns the IP address of a connection's other end.
func source(conn net.Conn) string {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return conn.RemoteAddr().String() // not TCP: all count as one
	}
	return host
}
