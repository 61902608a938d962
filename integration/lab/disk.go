package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Disk is a file system of its own with a fixed size, in memory.
type Disk struct {
	path    string
	mounted bool
}

// Disk mounts a file system of a size in MiB at an empty folder that it makes.
func (l *Lab) Disk(path string, size int) (*Disk, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", size)); err != nil {
		return nil, fmt.Errorf("mount %s: %w", path, err)
	}
	d := &Disk{path: path, mounted: true}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disks = append(l.disks, d)
	return d, nil
}

// Path returns where the disk is mounted.
func (d *Disk) Path() string { return d.path }

func (d *Disk) unmount() error {
	if !d.mounted {
		return nil
	}
	d.mounted = false
	return syscall.Unmount(d.path, syscall.MNT_DETACH)
}

// full fills a disk to the last block.
type full struct {
	disk *Disk
	left uint64
}

// NewFull leaves no room on a disk until it stops. Took: less than a block was left.
func NewFull(d *Disk) Fault { return &full{disk: d, left: 1 << 62} }

func (f *full) Name() string    { return "full " + f.disk.path }
func (f *full) ballast() string { return filepath.Join(f.disk.path, "ballast") }

// Start implements Fault.
func (f *full) Start() error {
	file, err := os.Create(f.ballast())
	if err != nil {
		return err
	}
	for _, size := range []int{1 << 20, 4096} {
		for block := make([]byte, size); err == nil; {
			_, err = file.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return errors.Join(err, file.Close())
		}
		err = nil
	}
	var room syscall.Statfs_t
	err = syscall.Statfs(f.disk.path, &room)
	f.left = room.Bavail * uint64(room.Bsize)
	return errors.Join(err, file.Close())
}

// Stop implements Fault.
func (f *full) Stop() error { return os.Remove(f.ballast()) }

// Took implements Fault.
func (f *full) Took() (bool, string) { return f.left < 4096, fmt.Sprintf("%d bytes left", f.left) }

// Erase removes everything in a directory, and says how many files there were.
func Erase(dir string) (string, error) {
	list, err := files(dir)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("removed %d files", len(list)), os.RemoveAll(dir)
}

// Flip returns a damage that changes some bits in files whose names match the pattern, as the seed draws them.
func Flip(pattern string, bits int, seed uint64) func(dir string) (string, error) {
	return func(dir string) (string, error) {
		path, content, random, err := draw(dir, pattern, seed)
		if err != nil {
			return "", err
		}
		for range bits {
			content[random.IntN(len(content))] ^= 1 << random.IntN(8)
		}
		return fmt.Sprintf("flipped %d bits of %s", bits, filepath.Base(path)), rewrite(path, content)
	}
}

// Tear returns a damage that cuts up to most bytes, and at least one, off a file whose name matches the pattern.
func Tear(pattern string, most int, seed uint64) func(dir string) (string, error) {
	return func(dir string) (string, error) {
		path, content, random, err := draw(dir, pattern, seed)
		if err != nil {
			return "", err
		}
		off := 1 + random.IntN(min(most, len(content)))
		return fmt.Sprintf("cut %d bytes off %s", off, filepath.Base(path)), rewrite(path, content[:len(content)-off])
	}
}

// draw picks one file that is not empty.
func draw(dir, pattern string, seed uint64) (path string, content []byte, random *rand.Rand, err error) {
	list, err := files(dir)
	if err != nil {
		return "", nil, nil, err
	}
	list = slices.DeleteFunc(list, func(path string) bool {
		match, bad := filepath.Match(pattern, filepath.Base(path))
		info, gone := os.Stat(path)
		return bad != nil || gone != nil || !match || info.Size() == 0
	})
	if len(list) == 0 {
		return "", nil, nil, fmt.Errorf("no file %s in %s", pattern, dir)
	}
	random = rand.New(rand.NewPCG(seed, 1))
	path = list[random.IntN(len(list))]
	content, err = os.ReadFile(path)
	return path, content, random, err
}

// rewrite changes a file's content in place; its mode stays.
func rewrite(path string, content []byte) error { return os.WriteFile(path, content, 0o600) }

// files returns every regular file below a directory, in order.
func files(dir string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			list = append(list, path)
		}
		return err
	})
	return list, err
}
