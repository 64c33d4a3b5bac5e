// Publishes consent events so that none is lost: persistent, mandatory, and confirmed by the broker.
//
// usage: AMQP_URL=amqp://… node publish.mjs events.jsonl
//
// Ends with 1 if an event was not confirmed. Publish those again, under the same EventId: the worker knows a repeat.
// Needs amqplib.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

// With amqplib beside this file, `import amqp from 'amqplib'` does the same.
const amqp = createRequire(import.meta.url)('amqplib');

const url = process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/%2f';
const exchange = process.env.EXCHANGE ?? 'leads';

// Resolves to what went wrong, or to null: then the event is on disk, and leadrelay's.
function publish(channel, returned, event) {
    const options = {
        contentType: 'application/json',
        persistent: true,
        mandatory: true,
        messageId: event.EventId,
        appId: 'example-producer',
    };
    return new Promise((resolve) => {
        channel.publish(exchange, event.Offer, Buffer.from(JSON.stringify(event)), options, (refused) => {
            if (refused) return resolve('refused: the queue is full');
            // A message that no queue takes is returned first, and then confirmed all the same.
            resolve(returned.delete(event.EventId) ? 'returned: no queue is bound to the exchange' : null);
        });
    });
}

const connection = await amqp.connect(url);
const channel = await connection.createConfirmChannel();
const returned = new Set();
channel.on('return', (message) => returned.add(message.properties.messageId));

const lines = readFileSync(process.argv[2], 'utf8').split('\n').filter((line) => line.trim());
const events = lines.map((line) => JSON.parse(line));
const problems = await Promise.all(events.map((event) => publish(channel, returned, event)));
await connection.close();

let failed = 0;
problems.forEach((problem, at) => {
    if (problem === null) return;
    failed += 1;
    console.log(`${events[at].EventId}: ${problem}`);
});
console.log(`${events.length - failed} confirmed, ${failed} not`);
process.exitCode = failed ? 1 : 0;
