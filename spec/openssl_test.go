package spec_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestOpenSSLOnACertificate runs the lines of certificate.md, and wants them to fail where one of them says another thing.
func TestOpenSSLOnACertificate(t *testing.T) {
	for _, tool := range []string{"openssl", "basenc"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("no %s on PATH: the gate installs it", tool)
			}
			t.Skipf("no %s on PATH; install it to run this test, as the gate does", tool)
		}
	}
	_, section, found := strings.Cut(read(t, "certificate.md"), "## Checking one with OpenSSL alone\n")
	if !found {
		t.Fatal("certificate.md has no such section")
	}
	var lines []string
	for line := range strings.SplitSeq(section, "\n") {
		if code, indented := strings.CutPrefix(line, "    "); indented || line == "" {
			lines = append(lines, code)
		}
	}
	script := strings.Join(lines, "\n")
	run := func(script string) (string, error) {
		command := exec.CommandContext(t.Context(), "sh", "-euc", script)
		command.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
		output, err := command.CombinedOutput()
		return string(output), err
	}
	if output, err := run(script); err != nil {
		t.Fatalf("as written (if a format has changed, the places have): %v\n%s", err, output)
	}
	for name, change := range map[string][2]string{
		"another domain":        {"conclave/1", "conclave/2"},
		"a byte of the opening": {"field input | bytes > \"$W/cert\"", "field input | bytes > \"$W/cert\"; printf x | dd of=\"$W/cert\" bs=1 seek=1000 conv=notrunc"},
		"a byte of the ballot":  {"field input | bytes > \"$W/cert\"", "field input | bytes > \"$W/cert\"; printf x | dd of=\"$W/cert\" bs=1 seek=1670 conv=notrunc"},
		"another realm":         {"field realm", "field realm | tr 0 1"},
		"another kind":          {"signed head", "signed seal"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Count(script, change[0]) < 1 {
				t.Fatalf("no %q to change", change[0])
			}
			if output, err := run(strings.Replace(script, change[0], change[1], 1)); err == nil {
				t.Errorf("the changed lines pass\n%s", output)
			}
		})
	}
}
