//go:build !linux

package guardexec

func openStore(maxBytes int64) (store, error) { return openPrivateStore(maxBytes) }
