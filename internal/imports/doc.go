// Package imports holds no code: its tests are the import graph of this module.
//
// The table in table_test.go says for each package which of ours it may import, and for each third-party module which
// package is its one importer. A new package adds its row; a new arrow between packages that stand needs an ADR.
//
// The rules, as the tests check them:
//
//   - a package imports only what its row names, and only downwards or inside its storey;
//   - no chain of imports has more than eight packages of ours;
//   - a third-party module is imported only where its row says, so that replacing it touches one package;
//   - pure packages import no clock, network, file system or randomness, start no goroutine and know no float;
//   - the SDK links none of the servers: neither nats-server, raft, libp2p nor bbolt.
//
// Files of all operating systems and build tags count. Test files are exempt, as Go itself forbids their cycles.
package imports
