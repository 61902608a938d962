package guardexec

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func TestParseBang(t *testing.T) {
	tests := []struct {
		line string
		want bang
		err  error
	}{
		{"#!/bin/sh", bang{"/bin/sh", ""}, nil},
		{"#!/bin/sh -e", bang{"/bin/sh", "-e"}, nil},
		{"#! /bin/sh -e -u ", bang{"/bin/sh", "-e -u"}, nil}, // one argument, as the kernel does it
		{"#!/bin/sh\t-e", bang{"/bin/sh", "-e"}, nil},
		{"#!/bin/sh\r", bang{"/bin/sh", ""}, nil},
		{"#!/usr/bin/env python3", bang{"python3", ""}, nil},
		{"#!/usr/bin/env python3.12", bang{"python3.12", ""}, nil},
		{"#!/usr/bin/env clang++-19", bang{"clang++-19", ""}, nil},
		{"#!", bang{}, ErrNotRunnable},
		{"#! \t", bang{}, ErrNotRunnable},
		{"#!/usr/bin/env", bang{}, ErrNotRunnable},
		{"#!/usr/bin/env -S python3 -I", bang{}, ErrNotRunnable},
		{"#!/usr/bin/env -i", bang{}, ErrNotRunnable},
		{"#!/usr/bin/env A=1 sh", bang{}, ErrNotRunnable},
		{"#!/usr/bin/env A=1", bang{}, ErrNotRunnable},
		{"#!/usr/bin/env sh -e", bang{}, ErrNotRunnable},
		{"#!bin/sh", bang{}, ErrNotRunnable},
		{"#!/bin/sh\x00", bang{}, ErrNotRunnable},
	}
	for _, tt := range tests {
		if got, err := parseBang(tt.line); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("parseBang(%q) = %+v, %v, want %+v, %v", tt.line, got, err, tt.want, tt.err)
		}
	}
}

func FuzzParseBang(f *testing.F) {
	f.Add("#!/bin/sh -e")
	f.Add("#!/usr/bin/env python3")
	f.Fuzz(func(t *testing.T, line string) {
		b, err := parseBang(line)
		if err != nil {
			return
		}
		if b.interpreter == "" || strings.HasPrefix(b.interpreter, "-") || strings.ContainsAny(b.interpreter, " \t\x00") {
			t.Errorf("parseBang(%q) accepted the interpreter %q", line, b.interpreter)
		}
	})
}

func FuzzSubstitute(f *testing.F) {
	f.Add("a{bind:1}b{bind:2}")
	f.Add("{bind:{bind:1}}")
	f.Fuzz(func(t *testing.T, arg string) {
		path := func(n int) (string, bool) { return "<" + strconv.Itoa(n) + ">", n <= 3 }
		out, err := substitute(arg, path)
		if err == nil && !strings.Contains(arg, "{bind:") && out != arg {
			t.Errorf("substitute(%q) = %q", arg, out)
		}
	})
}
