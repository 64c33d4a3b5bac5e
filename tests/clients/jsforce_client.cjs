// jsforce, as its users use it, against the sandbox. Expects SANDBOX_URL; ends with 0 if all went as with Salesforce.
'use strict';
const assert = require('node:assert/strict');
const jsforce = require('jsforce');

const url = process.env.SANDBOX_URL;
const KEY = 'Leadrelay_Key__c';

async function connect(secret = 'sandbox-secret') {
  const oauth2 = { clientId: 'sandbox-client', clientSecret: secret, loginUrl: url };
  const connection = new jsforce.Connection({ instanceUrl: url, loginUrl: url, oauth2, version: '59.0' });
  const user = await connection.authorize({ grant_type: 'client_credentials' });
  assert.equal(user.organizationId.length, 18);
  assert.equal(user.id, '0055g000000aaaaAAA');
  assert.equal(connection.instanceUrl, url);
  return connection;
}

async function control(path, body) {
  const answer = await fetch(`${url}/_sandbox/${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body ?? {}),
  });
  assert.equal(answer.status, 200, await answer.text());
}

const steps = {
  async 'a wrong secret is refused'() {
    await assert.rejects(connect('wrong'), { name: 'invalid_client', message: 'invalid client credentials' });
  },

  async 'describe tells the fields'(connection) {
    const lead = await connection.sobject('Lead').describe();
    const key = lead.fields.find((field) => field.name === KEY);
    assert.deepEqual([key.externalId, key.unique, key.length, key.type], [true, false, 64, 'string']);
    assert.equal(lead.fields.find((field) => field.name === 'LastName').nillable, false);
    const all = await connection.describeGlobal();
    assert.deepEqual(all.sobjects.map((object) => object.name), ['Lead']);
  },

  async 'a lead is created, read, changed and deleted'(connection) {
    const leads = connection.sobject('Lead');
    const made = await leads.create({ LastName: 'Liang', FirstName: 'Dashan', Company: 'Contoso' });
    assert.equal(made.success, true);
    assert.match(made.id, /^00Q[A-Za-z0-9]{15}$/);
    const read = await leads.retrieve(made.id);
    assert.deepEqual([read.attributes.type, read.Name, read.Email], ['Lead', 'Dashan Liang', null]);
    await leads.update({ Id: made.id, Title: 'CTO' });
    assert.equal((await leads.retrieve(made.id)).Title, 'CTO');
    await leads.destroy(made.id);
    await assert.rejects(leads.retrieve(made.id), { errorCode: 'NOT_FOUND' });
  },

  async 'a record that does not fit is refused with its fields'(connection) {
    const leads = connection.sobject('Lead');
    const refused = (record, code) =>
      assert.rejects(leads.create({ LastName: 'Liang', Company: 'Contoso', ...record }), { errorCode: code });
    await refused({ Email: 'nobody' }, 'INVALID_EMAIL_ADDRESS');
    await refused({ FirstName: 'x'.repeat(41) }, 'STRING_TOO_LONG');
    await refused({ Company: '' }, 'REQUIRED_FIELD_MISSING');
    await refused({ Nonsense__c: 'x' }, 'INVALID_FIELD');
  },

  async 'an upsert makes a lead, and then changes it'(connection) {
    const leads = connection.sobject('Lead');
    const record = { [KEY]: 'js-1', LastName: 'Liang', Company: 'Contoso' };
    const made = await leads.upsert(record, KEY);
    assert.deepEqual([made.success, made.created], [true, true]);
    const changed = await leads.upsert({ ...record, Title: 'CTO' }, KEY);
    assert.deepEqual([changed.success, changed.created, changed.id], [true, false, made.id]);
  },

  async 'a lead is found by its key'(connection) {
    const found = await connection.query(`SELECT Id, Title, ${KEY} FROM Lead WHERE ${KEY} = 'js-1' LIMIT 1`);
    assert.deepEqual([found.totalSize, found.done, found.records[0].Title], [1, true, 'CTO']);
    assert.deepEqual(await connection.sobject('Lead').findOne({ [KEY]: 'js-1' }, ['Title']).then((lead) => lead.Title), 'CTO');
    assert.equal(await connection.sobject('Lead').count({ [KEY]: 'js-1' }), 1);
    await assert.rejects(connection.query('SELECT Id FROM Lead WHERE'), { errorCode: 'MALFORMED_QUERY' });
    await assert.rejects(connection.query('SELECT Nonsense FROM Lead'), { errorCode: 'INVALID_FIELD' });
    await assert.rejects(connection.query('SELECT Id FROM Account'), { errorCode: 'INVALID_TYPE' });
  },

  async 'several leads with one key are no upsert'(connection) {
    const leads = connection.sobject('Lead');
    for (const name of ['One', 'Two']) await leads.create({ [KEY]: 'js-2', LastName: name, Company: 'Contoso' });
    await assert.rejects(leads.upsert({ [KEY]: 'js-2', LastName: 'Liang', Company: 'Contoso' }, KEY), {
      errorCode: 'MULTIPLE_CHOICES',
    });
  },

  async 'collections have an outcome for each record'(connection) {
    const leads = connection.sobject('Lead');
    const record = (key, more) => ({ [KEY]: key, LastName: 'Liang', Company: 'Contoso', ...more });
    const made = await leads.create([record('js-3'), record('js-4', { Email: 'nobody' })]);
    assert.deepEqual(made.map((item) => item.success), [true, false]);
    assert.equal(made[1].errors[0].statusCode, 'INVALID_EMAIL_ADDRESS');
    assert.deepEqual(made[1].errors[0].fields, ['Email']);
    const upserted = await leads.upsert([record('js-3', { Title: 'CTO' }), record('js-5')], KEY);
    assert.deepEqual(upserted.map((item) => [item.success, item.created]), [[true, false], [true, true]]);
    const ids = upserted.map((item) => item.id);
    const changed = await leads.update(ids.map((Id) => ({ Id, Title: 'CEO' })), { allOrNone: true });
    assert.deepEqual(changed.map((item) => item.success), [true, true]);
    assert.deepEqual((await leads.retrieve(ids)).map((lead) => lead.Title), ['CEO', 'CEO']);
    assert.deepEqual((await leads.destroy(ids)).map((item) => item.success), [true, true]);
  },

  async 'a long answer comes in pages'(connection) {
    const many = Array.from({ length: 2050 }, (_, n) => ({ LastName: `Page ${n}`, Company: 'Pages' }));
    await connection.sobject('Lead').create(many, { allowRecursive: true });
    const query = connection.query("SELECT LastName FROM Lead WHERE Company = 'Pages'");
    const leads = await query.run({ autoFetch: true, maxFetch: 5000 });
    assert.equal(new Set(leads.records.map((lead) => lead.LastName)).size, 2050);
  },

  async 'limits and usage are told'(connection) {
    const { DailyApiRequests } = await connection.limits();
    assert.equal(DailyApiRequests.Max, 100000);
    assert.deepEqual(connection.limitInfo.apiUsage.limit, 100000);
    assert.ok(connection.limitInfo.apiUsage.used > 10);
    const identity = await connection.identity();
    assert.equal(identity.user_id, '0055g000000aaaaAAA');
  },

  // In this flow there is no refresh token: jsforce says so, unless it is told how to come by a new session.
  async 'an expired session is told, and a new one works'(connection) {
    const count = (connection) => connection.sobject('Lead').count({ [KEY]: 'js-1' });
    await control('expire-tokens');
    await assert.rejects(count(connection), { message: /^Unable to refresh session/ });
    const { accessToken, instanceUrl } = connection;
    const refreshFn = async (_, done) => done(null, (await connect()).accessToken);
    const renewing = new jsforce.Connection({ accessToken, instanceUrl, refreshFn, version: '59.0' });
    assert.equal(await count(renewing), 1);
    assert.notEqual(renewing.accessToken, accessToken);
  },
};

(async () => {
  const connection = await connect();
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step(connection);
    } catch (error) {
      console.error(`${name}:`, error);
      process.exitCode = 1;
      return;
    }
  }
  console.log(`${Object.keys(steps).length} steps`);
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
