package mesh

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// How a line notices that the other end has vanished.
const (
	pulse   = 5 * time.Second  // the calling side asks for a sign of life this often
	silence = 15 * time.Second // either side ends a line on which nothing arrives for so long, or a write takes so long
)

// errSilent is why a line ends whose other end says nothing.
var errSilent = errors.New("mesh: the other end fell silent")

// errEnded is why a line ends that was closed at this end.
var errEnded = errors.New("mesh: connection closed")

// maxQueue is how many frames wait on a line for the writer; who has one more waits.
const maxQueue = 16

// line is a connection that carries frames: one goroutine reads, one writes. Whoever runs it owns both.
type line struct {
	conn  net.Conn // TLS, over socket
	under *socket
	out   chan *parcel
	stop  chan struct{} // closed when the line begins to end
	done  chan struct{} // closed when nothing is written or received any more

	once  sync.Once
	cause error // why it ended; read after stop is closed

	mu    sync.Mutex
	slips [][]byte      // short frames that cannot wait for room, at most one a call
	slip  chan struct{} // holds one: there are slips
}

// A parcel is one frame on its way.
type parcel struct {
	frame []byte
	state atomic.Int32
}

const (
	waiting   int32 = iota // not a byte was sent
	taken                  // some bytes may have been sent
	withdrawn              // will not be sent
)

// withdraw takes back a frame of which nothing was sent, and reports whether that is so.
func (p *parcel) withdraw() bool {
	return p.state.CompareAndSwap(waiting, withdrawn) || p.state.Load() == withdrawn
}

func newLine(conn net.Conn, under *socket) *line {
	return &line{conn: conn, under: under, out: make(chan *parcel, maxQueue),
		stop: make(chan struct{}), done: make(chan struct{}), slip: make(chan struct{}, 1)}
}

// run carries frames until the line ends, and returns why. ping is sent every [pulse], unless it is nil. receive gets
// each frame in order, to keep; its error ends the line.
func (l *line) run(ping []byte, receive func(frame []byte) error) error {
	var writing sync.WaitGroup
	writing.Go(func() { l.end(l.write(ping)) })
	l.end(l.read(receive))
	writing.Wait()
	close(l.done)
	return l.cause
}

// end begins to end the line; the first cause counts.
func (l *line) end(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.stop)
		l.under.cut()
	})
}

// ended reports whether the line has begun to end.
func (l *line) ended() bool {
	select {
	case <-l.stop:
		return true
	default:
		return l.under.gone.Load()
	}
}

func (l *line) read(receive func([]byte) error) error {
	for {
		if err := l.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		frame, err := readFrame(l.conn, maxFrame)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return errSilent
		}
		if err != nil {
			return err
		}
		if l.ended() {
			return errEnded // what TLS had read before is not acted on
		}
		if err := receive(frame); err != nil {
			return err
		}
	}
}

func (l *line) write(ping []byte) error {
	var beat <-chan time.Time
	if ping != nil {
		ticker := time.NewTicker(pulse)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		var err error
		select {
		case <-l.stop:
			return errEnded
		case p := <-l.out:
			err = l.put(p)
		case <-l.slip:
			err = l.putSlips()
		case <-beat:
			err = l.put(&parcel{frame: ping})
		}
		if err != nil {
			return err
		}
	}
}

// pass queues a short frame without waiting for room.
func (l *line) pass(frame []byte) {
	l.mu.Lock()
	l.slips = append(l.slips, frame)
	l.mu.Unlock()
	select {
	case l.slip <- struct{}{}:
	default: // the writer knows
	}
}

func (l *line) putSlips() error {
	l.mu.Lock()
	slips := l.slips
	l.slips = nil
	l.mu.Unlock()
	for _, frame := range slips {
		if err := l.put(&parcel{frame: frame}); err != nil {
			return err
		}
	}
	return nil
}

// put writes one frame, if it was not withdrawn. After a failure before the first byte the frame counts as not sent.
func (l *line) put(p *parcel) error {
	if !p.state.CompareAndSwap(waiting, taken) {
		return nil
	}
	before := l.under.sent.Load()
	err := l.conn.SetWriteDeadline(time.Now().Add(silence))
	if err == nil {
		_, err = l.conn.Write(p.frame)
	}
	if err != nil && l.under.sent.Load() == before {
		p.state.Store(waiting)
	}
	return err
}

// post queues a frame whose fate nobody follows, waiting for room. It reports false if the line ends first.
func (l *line) post(frame []byte) bool {
	select {
	case l.out <- &parcel{frame: frame}:
		return true
	case <-l.stop:
		return false
	}
}
