package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/bench"
)

// benchTime bounds a benchmark that does not end.
const benchTime = time.Hour

func benchCommand(p *program) *cobra.Command {
	var config bench.Config
	c := &cobra.Command{
		Use: "bench [NAME]", Short: "Measure it here, against plain NATS", Args: cobra.MaximumNArgs(1),
		Long: "Makes a realm in a private temporary directory (a real log, synced to disk; TLS), connects agents\n" +
			"to it, and measures them against plain, unsigned NATS over TLS on this machine, in turn and round by\n" +
			"round. Every message is counted: one that is lost, doubled or altered fails the run. Without a name it\n" +
			"lists what there is.\n\n" +
			"registry, failover, decision and quarantine make a realm of three nodes, each a process of its own, which\n" +
			"failover kills in earnest. registry compares with etcd and rqlite where their programs are given. open\n" +
			"compares two realms of ours, and opens 10,000 decisions in one of them, which takes a while.\n\n" +
			"The median of the rounds is reported, with the least and the greatest. Let nothing else run meanwhile.",
		Example: "  conclave bench\n  conclave bench stream\n  conclave bench agents --agents 10000 --rounds 1\n" +
			"  conclave bench rtt --json\n  conclave bench registry --etcd /usr/bin/etcd",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if len(args) == 0 {
				return listBenchmarks(p)
			}
			ctx, cancel := p.within(c.Context(), benchTime)
			defer cancel()
			if config.Self, err = os.Executable(); err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			return runBenchmark(ctx, p, args[0], config)
		},
	}
	c.ValidArgsFunction = func(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
		for _, b := range bench.List() {
			names = append(names, b.Name+"\t"+b.Summary)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	f := c.Flags()
	f.IntVar(&config.Rounds, "rounds", 0, "rounds that count, after one that does not (default the benchmark's own)")
	f.IntVar(&config.Messages, "messages", 0, "messages of each side in each round (default the benchmark's own)")
	f.IntVar(&config.Size, "size", 256, "bytes of each message's content")
	f.IntVar(&config.Agents, "agents", 0, "agents, where there are many (default the benchmark's own)")
	f.IntVar(&config.Nodes, "nodes", 3, "nodes of the realm that registry measures, 1 or 3")
	f.IntVar(&config.Clients, "clients", 64, "clients of registry, each with one command under way")
	f.IntVar(&config.Decisions, "decisions", 10_000, "decisions that are open in one realm of open")
	f.StringVar(&config.Etcd, "etcd", "", "etcd's program, for registry to compare with")
	f.StringVar(&config.Rqlite, "rqlite", "", "rqlited, for registry to compare with")
	return c
}

// benchServer is a server that a benchmark measures in a process of its own.
func benchServer(p *program) *cobra.Command {
	return &cobra.Command{
		Use: bench.ServerCommand + " KIND DIR", Short: "A server that `conclave bench` measures", Hidden: true,
		Args: cobra.ExactArgs(2), Example: "  conclave " + bench.ServerCommand + " plain ''",
		RunE: func(c *cobra.Command, args []string) error {
			return bench.Serve(c.Context(), args[0], args[1], p.stdin, p.stdout)
		},
	}
}

func listBenchmarks(p *program) error {
	all := bench.List()
	return p.emit(map[string]any{"benchmarks": all}, func(w io.Writer) {
		rows := make([][2]string, len(all))
		for i, b := range all {
			rows[i] = [2]string{"  " + b.Name, b.Summary}
		}
		fmt.Fprintf(w, "Benchmarks, on this machine; of messages, against plain NATS over TLS:\n\n")
		pairs(w, rows)
		fmt.Fprintf(w, "\nRun one:  conclave bench %s\n", all[0].Name)
	})
}

func runBenchmark(ctx context.Context, p *program, name string, config bench.Config) error {
	if p.terminal(p.rawErr) {
		config.Progress = p.progress
		defer fmt.Fprint(p.rawErr, "\r\x1b[K")
	}
	result, err := bench.Run(ctx, name, config)
	if err != nil {
		return err
	}
	return p.emit(result, func(w io.Writer) { p.showResult(w, result) })
}

// progress draws one line that the next one replaces.
func (p *program) progress(now bench.Progress) {
	const width = 30
	line := now.What
	if now.Total > 0 {
		full := width * now.Done / now.Total
		line = fmt.Sprintf("[%s%s] %d/%d  %s", strings.Repeat("#", full), strings.Repeat(".", width-full), now.Done, now.Total, line)
	}
	fmt.Fprintf(p.rawErr, "\r\x1b[K%.100s", line)
}

// showResult writes a result for people.
func (p *program) showResult(w io.Writer, r bench.Result) {
	fmt.Fprintf(w, "%s   %s\n\n", p.strong("conclave bench "+r.Name), plural(len(r.Rounds), "round"))
	fmt.Fprintf(w, "%s\n\n", folded(r.What, benchColumns, ""))
	heading := []string{"", r.Unit, "least", "greatest", "CPU us/message"}
	rows := [][]string{{"  conclave", figure(r.Ours), figure(r.Spread.Ours.Min), figure(r.Spread.Ours.Max), some(r.CPU.Ours)}}
	if r.PeerName != "" {
		rows = append(rows,
			[]string{"  " + r.PeerName, figure(r.Peer), figure(r.Spread.Peer.Min), figure(r.Spread.Peer.Max), some(r.CPU.Peer)},
			[]string{"  ratio", figure(r.Ratio), figure(r.Spread.Ratio.Min), figure(r.Spread.Ratio.Max), some(ratio(r.CPU))})
	}
	table(w, heading, rows)
	if len(r.Variants) > 0 {
		fmt.Fprintln(w)
		table(w, []string{"beside it", r.Unit, "least", "greatest", "CPU us/message"}, variantRows(r))
	}
	fmt.Fprintln(w)
	for _, note := range notes(r) {
		fmt.Fprintf(w, "  %-*s%s\n", noteIndent-2, note[0], folded(note[1], benchColumns-noteIndent, strings.Repeat(" ", noteIndent)))
	}
}

// How wide a result is, and where its notes begin.
const (
	benchColumns = 110
	noteIndent   = 26
)

// folded breaks a text at its spaces into lines of at most width characters; all but the first begin with indent.
func folded(text string, width int, indent string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// ratio returns how much more processor time ours takes; 0 where the peer takes none.
func ratio(p bench.Pair) float64 {
	if p.Peer == 0 {
		return 0
	}
	return p.Ours / p.Peer
}

func variantRows(r bench.Result) [][]string {
	var rows [][]string
	for _, v := range r.Variants {
		value := figure(v.Value)
		if v.Unit != r.Unit {
			value += " " + v.Unit
		}
		rows = append(rows, []string{"  " + v.Name, value, figure(v.Spread.Min), figure(v.Spread.Max), some(v.CPU)})
		if v.P50 > 0 && r.Nodes > 0 {
			rows = append(rows, []string{"    p50, p99", figure(v.P50), "", figure(v.P99), ""})
		}
		if v.Of != "" {
			rows = append(rows, []string{"    ratio to " + v.Of, figure(v.Ratio), "", "", ""})
		}
	}
	return rows
}

// notes says what else there is to know of a result.
func notes(r bench.Result) [][2]string {
	better := "more is better"
	if r.Lower {
		better = "less is better"
	}
	rows := [][2]string{{r.Unit, better}}
	if r.P50 > 0 {
		delay := fmt.Sprintf("p50 %s, p99 %s %s", figure(r.P50), figure(r.P99), r.DelayUnit)
		if r.PeerP50 > 0 {
			delay += fmt.Sprintf("; %s p50 %s, p99 %s", r.PeerName, figure(r.PeerP50), figure(r.PeerP99))
		}
		rows = append(rows, [2]string{r.Delay, delay})
	}
	if r.FloorP50 > 0 {
		rows = append(rows, [2]string{"floor", fmt.Sprintf("%s %s: the plain round trip with 2 signatures and 2 checks; what ours "+
			"takes beyond the plain one is %s times those", figure(r.FloorP50), r.DelayUnit, figure(r.CryptoRatio))})
	}
	rows = append(rows, [2]string{"workload", workload(r)})
	if r.Fsync > 0 {
		rows = append(rows, [2]string{"disk", fmt.Sprintf("4 KiB written and synced in %s us, the median", figure(r.Fsync))})
	}
	if len(r.Commands) > 0 {
		rows = append(rows, [2]string{"commands", counted(r.Commands)})
	}
	if r.Note != "" {
		rows = append(rows, [2]string{"note", r.Note})
	}
	signatures := fmt.Sprintf("a signature %s us, a check %s us, on one core", figure(r.Crypto.Sign/1000), figure(r.Crypto.Verify/1000))
	return append(rows, [][2]string{
		{"bounded by", r.Bound}, {"Ed25519", signatures}, {"machine", ranOn(r.Machine)},
	}...)
}

// workload says how much there was to do.
func workload(r bench.Result) string {
	text := fmt.Sprintf("%s of %d bytes a round", plural(r.Messages, "message"), r.Size)
	switch {
	case r.Nodes > 0 && r.Messages > 0:
		text = fmt.Sprintf("%s a round", plural(r.Messages, "command"))
	case r.Nodes > 0:
		text = "one at a time"
	case r.Messages == 0:
		text = plural(r.Agents, "agent")
	}
	switch {
	case r.Nodes > 0:
		text += fmt.Sprintf(", %s, %s", plural(r.Nodes, "node"), plural(r.Clients, "client"))
	case r.Window > 0:
		text += fmt.Sprintf(", at most %s under way, on both sides", grouped(int64(r.Window)))
	}
	return text
}

// counted lists what became of things, by name.
func counted(of map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, grouped(int64(of[name]))+" "+name)
	}
	return strings.Join(parts, ", ")
}

func ranOn(m bench.Machine) string {
	where := fmt.Sprintf("%s, %s, %s", plural(m.Cores, "core"), m.Go, m.Platform)
	if m.Others >= busy {
		where += fmt.Sprintf("; other programs kept %.1f cores busy, so rates and times tell little", m.Others)
	}
	return where
}

// busy is how many cores others may use before rates mean nothing.
const busy = 0.2

// plural counts things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(int64(n)) + " " + thing + "s"
}

// figure writes a number with as many digits as it deserves: whole from 100 on, else three.
func figure(v float64) string {
	if v >= 99.95 || v <= -99.95 {
		return grouped(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// some is figure, but nothing for 0.
func some(v float64) string {
	if v == 0 {
		return ""
	}
	return figure(v)
}

// grouped writes a whole number with its thousands set apart.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}
