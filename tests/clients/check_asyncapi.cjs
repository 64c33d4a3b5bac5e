// Reads contract/asyncapi.yaml with AsyncAPI's own parser; then makes it wrong, and sees that the parser notices.
'use strict';
const fs = require('node:fs');
const { Parser, fromFile } = require('@asyncapi/parser');
const Ajv = require('ajv');

const path = process.argv[2];
const SCHEMAS = {
    consentEvent: ['consent-event.schema.json', ''],
    cloudEvent: ['consent-event.schema.json', '/definitions/CloudEvent'],
    fate: ['fate.schema.json', ''],
};
let steps = 0;
const check = (good, what) => {
    if (!good) throw new Error(what);
    steps += 1;
};

// Draft 7 and AsyncAPI's own rules; what is only advice (tags, a contact) is not counted.
const faults = (diagnostics) => diagnostics.filter((one) => one.severity <= 1 && !/tags|contact|latest version/.test(one.message));

async function main() {
    const parser = new Parser();
    const { document, diagnostics } = await fromFile(parser, path).parse();
    const told = faults(diagnostics).map((one) => `${one.path.join('.')}: ${one.message}`);
    check(told.length === 0, told.join('\n'));
    check(document.version() === '3.0.0', 'version 3');
    const channels = document.channels().all().map((channel) => channel.id());
    check(channels.length === 11, `channels: ${channels}`);

    // The examples, by a validator of JSON Schema: the parser does not look into them as closely.
    for (const message of document.components().messages().all()) {
        if (!message.hasPayload()) continue;
        const examples = message.examples().all();
        check(examples.length > 0, `${message.id()} has an example`);
        const [file, pointer] = SCHEMAS[message.id()];
        const schema = JSON.parse(fs.readFileSync(path.replace('asyncapi.yaml', file), 'utf8'));
        const ajv = new Ajv({ strict: false, validateFormats: false }).addSchema(schema, 'file');
        const validate = ajv.getSchema(`file#${pointer}`);
        for (const example of examples) {
            check(validate(example.payload()), `${message.id()} ${example.name()}: ${JSON.stringify(validate.errors)}`);
        }
        check(!validate({ ...examples[0].payload(), data: 7, CustomerInfo: 7, Fate: 7 }), `${message.id()} refuses nothing`);
    }

    for (const [from, to] of [
        ['is: routingKey', 'is: roundabout'],
        ["channel: { $ref: '#/channels/fates' }", "channel: { $ref: '#/channels/fakes' }"],
        ['deliveryMode: 2', 'deliveryMode: 3'],
        ['asyncapi: 3.0.0', 'asyncapi: 9.9.9'],
    ]) {
        const text = fs.readFileSync(path, 'utf8');
        const broken = text.replace(from, to);
        check(broken !== text, `${from} is not there`);
        const { diagnostics } = await parser.parse(broken, { source: path });
        check(faults(diagnostics).length > 0, `${to} passes`);
    }
    console.log(`${steps} steps`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
