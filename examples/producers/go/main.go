// Publishes consent events so that none is lost: persistent, mandatory, and confirmed by the broker.
//
// usage: AMQP_URL=amqp://… go run . events.jsonl
//
// Ends with 1 if an event was not confirmed. Publish those again, under the same EventId: the worker knows a repeat.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What we need to know of an event. The rest goes out as it came in.
type event struct {
	EventId string
	Offer   string
	body    []byte
	confirm *amqp.DeferredConfirmation
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func read(path string) ([]*event, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var events []*event
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 256*1024)
	for lines.Scan() {
		one := &event{body: append([]byte(nil), lines.Bytes()...)}
		if err := json.Unmarshal(one.body, one); err != nil {
			return nil, err
		}
		events = append(events, one)
	}
	return events, lines.Err()
}

func (one *event) publish(ctx context.Context, channel *amqp.Channel, exchange string) (err error) {
	const mandatory, immediate = true, false
	one.confirm, err = channel.PublishWithDeferredConfirmWithContext(ctx, exchange, one.Offer, mandatory, immediate, amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    one.EventId,
		AppId:        "example-producer",
		Body:         one.body,
	})
	return err
}

func run(path string) (failed int, err error) {
	events, err := read(path)
	if err != nil {
		return 0, err
	}
	connection, err := amqp.Dial(setting("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f"))
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return 0, err
	}
	if err := channel.Confirm(false); err != nil {
		return 0, err
	}
	// As much room as there are messages: who does not read returns holds up the connection.
	returns := channel.NotifyReturn(make(chan amqp.Return, len(events)))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, one := range events {
		if err := one.publish(ctx, channel, setting("EXCHANGE", "leads")); err != nil {
			return 0, err
		}
	}
	refused := make(map[string]bool)
	for _, one := range events {
		acked, err := one.confirm.WaitContext(ctx)
		if err != nil {
			return 0, fmt.Errorf("%s was not confirmed in time: %w", one.EventId, err)
		}
		refused[one.EventId] = !acked
	}
	// A message that no queue takes is returned before it is confirmed: all of them are here by now.
	returned := make(map[string]bool)
	for len(returns) > 0 {
		returned[(<-returns).MessageId] = true
	}
	for _, one := range events {
		switch {
		case refused[one.EventId]:
			fmt.Printf("%s: refused: the queue is full\n", one.EventId)
		case returned[one.EventId]:
			fmt.Printf("%s: returned: no queue is bound to the exchange\n", one.EventId)
		default:
			continue
		}
		failed++
	}
	fmt.Printf("%d confirmed, %d not\n", len(events)-failed, failed)
	return failed, nil
}

func main() {
	failed, err := run(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if failed > 0 {
		os.Exit(1)
	}
}
