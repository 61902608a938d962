package node

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// TestNotReadyOnceTheLogCannotGrow forbids this process to make files larger than the log is, and hands in commands
// until a write fails.
func TestNotReadyOnceTheLogCannotGrow(t *testing.T) {
	n, operator := watched(t)
	if a := submit(t, n, operator, 1, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "ben"}); a.Code != "" {
		t.Fatal(a.Err())
	}
	if status, r := readiness(t, n); status != http.StatusOK {
		t.Fatalf("%d %+v", status, r)
	}
	info, err := os.Stat(filepath.Join(n.config.Dir, "raft", "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = uint64(info.Size())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	var failure error
	for i := 0; i < 2000 && failure == nil; i++ {
		c, err := registry.New(operator.ID(), registry.TypeOperator, registry.AddOperator{
			Operator: newOperator(t), Name: fmt.Sprint("operator-", i),
		}, [16]byte{2, byte(i), byte(i >> 8)}, time.Now().UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := operator.Cosign(n.Realm(), c)
		if err != nil {
			t.Fatal(err)
		}
		_, failure = n.Submit(t.Context(), raw)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if failure == nil {
		t.Fatal("2,000 commands fitted a file that may not grow")
	}
	<-n.Done()
	status, r := readiness(t, n)
	if status != http.StatusServiceUnavailable || failing(r, "log")+failing(r, "trail") == "" || failing(r, "registrar") != fault.DiskFull {
		t.Errorf("%d %+v", status, r)
	}
}
