// Package filetrail is the [audit.Trail] in files: one directory of segments that only grow.
//
//	trail, err := filetrail.Open(dir)
//	err = trail.Record(audit.Entry{Time: now, Door: audit.Admission, Subject: id.String()})
//	size, root := trail.Head()
//	err = trail.Close()
//
// A record reaches the operating system before Record returns, so it survives the process. It survives the machine once
// it is synced: at most [SyncEvery] later, or when Close returns. What a crash tore off at the end is cut away by the
// next Open, which says how much; a byte that changed anywhere else is a [*Corruption], and nothing is opened.
//
// A segment begins with a header of 56 bytes: the magic, the number of its first entry (from 0), the root over all
// entries before it, and a CRC. A record is the length of its body, a CRC of that, a CRC of the body, each four bytes
// big-endian, and the body: the entry in canonical CBOR. CRCs are CRC-32C. The leaf of an entry in the tree (RFC 9162)
// is its body, so whoever kept a [Trail.Head] can show that a rewritten trail is not the one it saw.
package filetrail
