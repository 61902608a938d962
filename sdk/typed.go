package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Request is one verified, validated request.
type Request[T any] struct {
	Data       T
	From       Peer
	ID         Digest
	Capability string
}

// Message is one verified, validated message of a topic.
type Message[T any] struct {
	Data  T
	From  Peer
	ID    Digest
	Topic string
}

// Handler answers typed requests.
type Handler[In, Out any] func(ctx context.Context, r *Request[In]) (Out, error)

// Handle serves a capability with a typed handler. Requests are JSON and checked against the schema of In, which the
// agent's card shows together with that of Out; what does not fit is refused with invalid_input and never reaches h.
func Handle[In, Out any](a *Agent, capability string, h Handler[In, Out], opts ...HandleOption) error {
	in, err := formOf[In]()
	if err != nil {
		return err
	}
	out, err := formOf[Out]()
	if err != nil {
		return err
	}
	card := discovery.Capability{Name: capability, Input: in.text, Output: out.text}
	return a.service.handle(card, func(ctx context.Context, d *Delivery) ([]byte, error) {
		data, err := in.decode(d.Content)
		if err != nil {
			return nil, err
		}
		answer, err := h(ctx, &Request[In]{Data: data, From: d.From, ID: d.ID(), Capability: d.Capability})
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	}, opts)
}

// Call sends a typed request and returns the typed answer, checked against the schema of Out.
func Call[Out, In any](ctx context.Context, a *Agent, to Target, in In) (Out, error) {
	var none Out
	form, err := formOf[Out]()
	if err != nil {
		return none, err
	}
	content, err := json.Marshal(in)
	if err != nil {
		return none, fmt.Errorf("sdk: encode request: %w", err)
	}
	answer, err := CallBytes(ctx, a, to, content)
	if err != nil {
		return none, err
	}
	return form.decode(answer)
}

// Publish sends one typed message to a topic.
func Publish[T any](ctx context.Context, a *Agent, topic string, v T) (Receipt, error) {
	content, err := json.Marshal(v)
	if err != nil {
		return Receipt{}, fmt.Errorf("sdk: encode message: %w", err)
	}
	return PublishBytes(ctx, a, topic, content)
}

// Subscribe has fn called for every message on a topic or pattern that fits the schema of T; the logger is told of the
// others.
func Subscribe[T any](a *Agent, topic string, fn func(ctx context.Context, m *Message[T]) error) (*Subscription, error) {
	form, err := formOf[T]()
	if err != nil {
		return nil, err
	}
	return SubscribeBytes(a, topic, func(ctx context.Context, d *Delivery) ([]byte, error) {
		data, err := form.decode(d.Content)
		if err != nil {
			return nil, err
		}
		return nil, fn(ctx, &Message[T]{Data: data, From: d.From, ID: d.ID(), Topic: d.Topic})
	})
}

// form is the schema of one Go type.
type form[T any] struct {
	text     string
	resolved *jsonschema.Resolved
}

func formOf[T any]() (form[T], error) {
	schema, err := jsonschema.For[T](&jsonschema.ForOptions{TypeSchemas: textTypes})
	if err != nil {
		return form[T]{}, fmt.Errorf("sdk: schema of %T: %w", *new(T), err)
	}
	text, err := json.Marshal(schema)
	if err != nil {
		return form[T]{}, fmt.Errorf("sdk: schema of %T: %w", *new(T), err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return form[T]{}, fmt.Errorf("sdk: schema of %T: %w", *new(T), err)
	}
	return form[T]{text: string(text), resolved: resolved}, nil
}

// textTypes are those whose JSON form is a text, which their Go type does not show.
var textTypes = map[reflect.Type]*jsonschema.Schema{
	reflect.TypeFor[ID]():     {Type: "string"},
	reflect.TypeFor[Digest](): {Type: "string"},
	reflect.TypeFor[Realm]():  {Type: "string"},
	reflect.TypeFor[Ref]():    {Type: "string"},
}

var errInput = fault.New(fault.InvalidInput, "sdk: content does not fit its schema")

// decode reads one JSON value strictly: it must fit the schema, hold no unknown fields, and nothing may follow.
func (f form[T]) decode(content []byte) (T, error) {
	var none, v T
	var value any
	if err := json.Unmarshal(content, &value); err != nil {
		return none, fmt.Errorf("%w: %w", errInput, err)
	}
	if err := f.resolved.Validate(value); err != nil {
		return none, fmt.Errorf("%w: %w", errInput, err)
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return none, fmt.Errorf("%w: %w", errInput, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return none, fmt.Errorf("%w: more than one value", errInput)
	}
	return v, nil
}
