// Package envelope is one signed message: [Seal] makes it, [Open] checks it, and a [*Message] exists only if every
// check held.
//
// Sealing fixes who sends (principal and credential), to whom (one process, one inbox, or a topic), on which subject,
// in answer to what, until when, and with which counter; all of it stands under one signature (COSE_Sign1, see
// internal/wire). What goes to a process or an inbox is always encrypted for its sealing key; there is no fallback.
// The signature also covers SHA-256(salt ‖ content), so whoever was shown salt and content can prove them later.
//
// Opening refuses, in this order: size, encoding, realm and version, address, credential, ticket, time, signature,
// decryption, content digest, rights, replay. The replay window is touched last, so nothing that fails an earlier
// check can use up an honest sender's counter. No option turns a check off; an absent [Authority] or [Windows]
// refuses everything.
//
//	raw, id, err := envelope.Seal(process, envelope.Draft{
//		To: envelope.ToProcess(agent, credential), Subject: subject, Kind: envelope.Request,
//		Issued: now, Expires: now + 5_000, Counter: counters.Next(to), Content: body,
//	}, sealingKey, rand.Reader)
//
//	m, err := envelope.Open(raw, envelope.Inbound{Realm: realm, Process: me, Subject: delivered}, authority, windows, now)
//
// Several envelopes of one process may share one signature: see [SealBatch], [OpenMember] and [OpenAny]. Each stays
// provable alone.
//
// The package is pure: no clock, goroutine or I/O. Times are Unix milliseconds. Sealing draws the salt from the reader
// it is given and the encapsulated key from crypto/rand, inside crypto/hpke.
package envelope
