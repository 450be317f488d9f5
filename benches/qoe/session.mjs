// One session of one player in a fresh Chromium: `node session.mjs JOB`, run inside a link.
//
// JOB is JSON: player, url, seconds (after the first picture), patience (until it), players (where
// the packages are), chromium. Prints a line `loading` when the player starts, then a line of JSON
// with what the page sampled and what was requested. The page comes from this process, by loopback:
// only manifests and segments pass the link.

import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const job = JSON.parse(process.argv[2]);
const require = createRequire(`${job.players}/`);
const puppeteer = require('puppeteer-core');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript' };

function serve() {
  const server = http.createServer((request, response) => {
    const name = decodeURIComponent(request.url.split('?')[0]);
    const file = name.startsWith('/players/')
      ? path.join(job.players, 'node_modules', path.normalize(name.slice('/players'.length)))
      : path.join(import.meta.dirname, 'page.html');
    fs.readFile(file, (error, bytes) => {
      response.writeHead(error ? 404 : 200, { 'Content-Type': TYPES[path.extname(file)] ?? '' });
      response.end(bytes);
    });
  });
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)));
}

// Requests to the edge in sequence: seconds since the epoch, URL, status, fields of interest.
function watch(client, requests) {
  const open = new Map();
  client.on('Network.requestWillBeSent', event => {
    if (event.redirectResponse) answered(event.requestId, event.redirectResponse);
    const to = new URL(event.request.url);
    if (!to.protocol.startsWith('http') || to.hostname === '127.0.0.1') return;
    const request = { id: event.requestId, wall: event.wallTime, url: event.request.url };
    open.set(event.requestId, request);
    requests.push(request);
  });
  client.on('Network.responseReceived', event => answered(event.requestId, event.response));
  client.on('Network.loadingFailed', event => {
    const request = open.get(event.requestId);
    if (request) request.failed = event.canceled ? 'canceled' : event.errorText;
  });
  client.on('Network.loadingFinished', event => {
    const request = open.get(event.requestId);
    if (request) request.bytes = event.encodedDataLength;
  });
  function answered(id, response) {
    const request = open.get(id);
    if (!request) return;
    const fields = Object.entries(response.headers).map(([k, v]) => [k.toLowerCase(), v]);
    const { 'cmsd-dynamic': cmsd, 'x-weir-node': node } = Object.fromEntries(fields);
    Object.assign(request, { status: response.status, cmsd, node });
  }
}

// The manifest that the player began with, where the browser still has it.
async function manifest(client, requests) {
  for (const request of requests) {
    if (request.status !== 200 || !/(\.m3u8|\.mpd|adaptive_stream)/.test(request.url)) continue;
    try {
      const { body, base64Encoded } =
        await client.send('Network.getResponseBody', { requestId: request.id });
      return base64Encoded ? Buffer.from(body, 'base64').toString() : body;
    } catch {
      return null;
    }
  }
  return null;
}

// Seconds since the first picture, or null while there is none.
function played(samples) {
  const first = samples.findIndex((s, i) => i && s[2] && s[1] > samples[i - 1][1]);
  return first < 0 ? null : (samples.at(-1)[0] - samples[first][0]) / 1000;
}

async function watched(page) {
  const began = Date.now();
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, 250));
    const state = await page.evaluate(() => state);
    const since = played(state.samples);
    const late = since === null && Date.now() - began > job.patience * 1000;
    if (late || since >= job.seconds || Date.now() - began > (job.seconds + job.patience) * 1000) {
      return state;
    }
  }
}

const server = await serve();
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'weir-qoe-'));
const browser = await puppeteer.launch({
  executablePath: job.chromium,
  headless: true,
  pipe: true,
  userDataDir: profile,
  env: { ...process.env, HOME: profile },
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
    '--autoplay-policy=no-user-gesture-required', '--window-size=1280,900',
    // A link leads nowhere else: what dash.js asks for the time is to fail at once, not after the
    // seconds that it takes to find no resolver, in which a live player asks for nothing.
    '--host-resolver-rules=MAP time.akamai.com ~NOTFOUND'],
});
try {
  const page = await browser.newPage();
  const client = await page.createCDPSession();
  await client.send('Network.enable');
  const requests = [];
  watch(client, requests);
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  console.log('loading');
  await page.evaluate((player, url) => { start(player, url); }, job.player, job.url);
  const state = await watched(page);
  const text = await manifest(client, requests);
  console.log(JSON.stringify({ ...state, requests, manifest: text }));
} finally {
  await browser.close();
  fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  server.close();
}
