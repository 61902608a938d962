package wire

// FieldReader reads the structs that [Encode] writes, where [Decode] by reflection would cost too much. It refuses what Decode
// refuses in a struct: labels that are unknown, repeated, missing or out of order, and a field that is empty where the struct's
// encoding would omit it. What its struct does not allow, the caller refuses.
type FieldReader struct{ Reader }

// NewFieldReader returns a reader of data.
func NewFieldReader(data []byte) FieldReader { return FieldReader{NewReader(data)} }

// Labels is a set of labels, each below 64.
func Labels(labels ...uint64) (set uint64) {
	for _, label := range labels {
		set |= 1 << label
	}
	return set
}

// Fields reads a map with labels up to most, which is below 64, each once, ascending, and all of the set must. For each, field reads
// the value.
func (r *FieldReader) Fields(must, most uint64, field func(label uint64)) {
	var seen, least uint64
	for range r.Map(int(most) + 1) {
		label := r.Uint(most)
		if r.err != nil {
			return
		}
		if label < least {
			r.Refuse("labels repeated or out of order")
			return
		}
		seen, least = seen|1<<label, label+1
		field(label)
	}
	if seen&must != must {
		r.Refuse("a field is missing")
	}
}

// Number reads any unsigned number.
func (r *FieldReader) Number() uint64 { return r.Uint(1<<64 - 1) }

// Byte reads an unsigned number below 256.
func (r *FieldReader) Byte() byte { return byte(r.Uint(1<<8 - 1)) }

// Above reads a number that would be absent if it were 0.
func (r *FieldReader) Above() uint64 {
	n := r.Number()
	if n == 0 {
		r.Refuse("an empty field")
	}
	return n
}

// NonZero reads a signed number that would be absent if it were 0.
func (r *FieldReader) NonZero() int64 {
	n := r.Int()
	if n == 0 {
		r.Refuse("an empty field")
	}
	return n
}

// True reads a truth that would be absent if it were false.
func (r *FieldReader) True() bool {
	if !r.Bool() {
		r.Refuse("an empty field")
	}
	return true
}

// Words reads a text that would be absent if it were empty. It returns a copy.
func (r *FieldReader) Words() string {
	s := string(r.Text())
	if s == "" {
		r.Refuse("an empty field")
	}
	return s
}

// Some reads what stands before the elements of an array that would be absent if it had none, and returns their number. No element
// has no bytes, so there are no more of them than bytes.
func (r *FieldReader) Some() int {
	n := r.Any()
	if n == 0 {
		r.Refuse("no elements")
	}
	return n
}

// Any reads what stands before the elements of an array and returns their number, as [FieldReader.Some] does, but 0 too.
func (r *FieldReader) Any() int {
	n := r.Array(MaxItems)
	if n > r.Len() {
		r.Refuse("fewer elements")
		return 0
	}
	return n
}
