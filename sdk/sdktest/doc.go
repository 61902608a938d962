// Package sdktest is a whole realm in memory, for tests of programs that use package sdk: one node's real registrar and
// ledger over a bus and a log in memory. Nothing is skipped: agents are enrolled with one-time keys, every envelope is
// signed, encrypted and checked, the bus enforces the permissions that the registrar grants.
//
//	realm := sdktest.New(t)
//	alice := realm.Agent(t, "alice")
//	bob := realm.Agent(t, "bob", sdktest.Serves("text.*"), sdktest.Level(identity.Apprentice))
//
// Everything ends with the test. There is no file, except what decisions need in t.TempDir, and no socket; time is
// that of package time, so that a realm made inside testing/synctest lives through days in an instant.
//
// A test can play a hostile node: it sees all that is published ([Realm.Packets]), can drop, alter, double or redirect
// it ([Realm.Intercept]), publish what it likes ([Realm.Inject]), and sign what it
// likes ([Realm.NodeSigner]). It can lose and reorder messages
// ([Realm.Faults]), and make the registry's log fail ([Realm.FailNext]).
package sdktest
