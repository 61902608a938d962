// Package load keeps a realm busy as its users would, through the public SDK, and writes down what each of them saw as a
// history for package check: operators change and read members, agents call each other and publish, one agent is
// quarantined and released again and again, a program acts on certificates.
//
//	recorder := load.NewRecorder(file, "kill", seed)
//	l, err := load.Start(ctx, realm, load.Usual(), recorder)
//	... // faults
//	err = l.Stop()
//	err = l.Finals(ctx, realm)
//	violations := check.All(recorder.History(), limits)
//
// A client never gives up: what fails is written down with what is known of it, and the next operation begins.
package load
