// Package envelope is one signed message: [Seal] makes it, [Open] checks it, and a [*Message] exists only if every
// check held.
//
// Sealing fixes who sends (principal and credential), to whom (one process, one inbox, or a topic), on which subject,
// in answer to what, until when, and with which counter; all of it stands under one signature (COSE_Sign1, see
// internal/wire). A [Protection] says how the body is protected; without one nothing is sealed, and nothing falls back
// to a weaker one. What goes to a process or an inbox is always encrypted: [SealedTo] its sealing key or, to a process,
// [Under] the session that an earlier such envelope opened. What goes to a topic is encrypted under a key that its
// publisher gives to those who joined, or [Unencrypted] where the policy says so. Of encrypted bodies the signature also
// covers SHA-256(salt ‖ content), so whoever was shown salt and content can prove them later.
//
// Opening refuses, in this order: size, encoding, realm and version, address, credential, ticket, time, signature, key,
// decryption, content digest, rights, replay. The replay window is touched last, so nothing that fails an earlier
// check can use up an honest sender's counter. No option turns a check off; an absent [Authority], [Keys] or [Windows]
// refuses everything that needs it.
//
//	signed, err := envelope.Seal(process, envelope.Draft{
//		To: envelope.ToProcess(agent, credential), Subject: subject, Purpose: envelope.Request,
//		Issued: now, Expires: now + 5_000, Counter: counters.Next(to), Content: body,
//		Protection: envelope.SealedTo(sealingKey),
//	}, rand.Reader)
//
//	m, err := envelope.Open(raw, envelope.Inbound{Realm: realm, Process: me, Subject: delivered}, authority, windows, now)
//
// Several envelopes of one process may share one signature: [SealFrame] for one destination, where what they share also
// travels once, and [SealBatch] for many. [OpenAny] takes every form, or in two steps [Check], which changes nothing and
// may run in parallel, and [Checked.Commit], which asks again what may have changed meanwhile. Each envelope stays provable alone ([Message.Raw], [Attest]).
//
// The package is pure: no clock, goroutine or I/O. Times are Unix milliseconds. Sealing draws salts from the reader
// it is given and the encapsulated key from crypto/rand, inside crypto/hpke.
package envelope
