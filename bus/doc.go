// Package bus is how envelopes travel, without saying over what: the subjects of a realm, the permissions that a
// principal's rights become, and the contract of a connection ([Conn]).
//
// Subjects steer and permissions keep noise and casual spoofing away. Neither is the authority on who sent a message:
// the envelope's signature is. This package is pure; bus/natsbus and bus/membus implement [Conn], bus/broker enforces
// [Permissions], bus/bustest holds what every implementation must do.
package bus
