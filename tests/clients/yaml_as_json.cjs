// Prints a YAML file as JSON: for tests in a language that has no kept reader of YAML.
'use strict';
const yaml = require('js-yaml');
process.stdout.write(JSON.stringify(yaml.load(require('node:fs').readFileSync(process.argv[2], 'utf8'))));
