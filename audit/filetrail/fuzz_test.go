package filetrail

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
)

// advance lets fake time pass inside a synctest bubble, and everybody act.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// FuzzScan holds: no bytes panic, and what is read is written again as it was.
func FuzzScan(f *testing.F) {
	whole := encodeHeader(&peaks{})
	for i := range 4 {
		record, _, err := encodeRecord(entry(i))
		if err != nil {
			f.Fatal(err)
		}
		whole = append(whole, record...)
	}
	f.Add(whole, true)
	f.Add(whole[:len(whole)-5], true)
	f.Add(whole[:len(whole)-5], false)
	f.Add(append(bytes.Clone(whole), make([]byte, 40)...), true)
	f.Add(encodeHeader(&peaks{}), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, last bool) {
		var p peaks
		again := encodeHeader(&p)
		n, err := scan("s", data, last, &p, func(e audit.Entry) error {
			record, _, err := encodeRecord(e)
			again = append(again, record...)
			return err
		})
		if err != nil {
			var c *Corruption
			if !errors.As(err, &c) || c.Offset < 0 || c.Offset > int64(len(data)) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if n > int64(len(data)) || (!last && n != int64(len(data))) {
			t.Fatalf("%d of %d bytes are whole", n, len(data))
		}
		if n > 0 && n == int64(len(again)) && !bytes.Equal(again, data[:n]) {
			t.Fatalf("read    %x\nwritten %x", data[:n], again)
		}
	})
}
