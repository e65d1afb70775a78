import type { LinuxConsole } from './linux-console.ts';

/**
 * Work like that of a compiler run: many small files, archives, compression, checksums. Each turn must find what it wrote;
 * turns are counted in /tmp/turns, what is wrong goes to /tmp/wrong.
 */
const fileWork = (source: string): string => `
mkdir -p /var/work; cd /var/work; turn=0; cp -r ${source} /var/work/source
sum=$(cd source && find . -type f | sort | xargs sha256sum | sha256sum)
while :; do
  tar czf archive.tgz source && rm -rf copy && mkdir copy && tar xzf archive.tgz -C copy || echo tar >>/tmp/wrong
  [ "$(cd copy/source && find . -type f | sort | xargs sha256sum | sha256sum)" = "$sum" ] || echo "turn $turn" >>/tmp/wrong
  sync; turn=$((turn + 1)); echo $turn >/tmp/turns
done`;

/** Starts `script` in the background, away from the console. */
async function start(console: LinuxConsole, name: string, script: string): Promise<void> {
  for (const line of [
    'rm -f /tmp/script',
    ...script.split('\n').map(text => `echo '${text.replaceAll("'", `'\\''`)}' >>/tmp/script`),
  ])
    await console.output(line);
  await console.output(
    `mv /tmp/script /tmp/${name}.sh; (setsid sh /tmp/${name}.sh </dev/null >/tmp/${name}.log 2>&1 &)`,
  );
}

/** `source` is what it copies to begin with. */
export async function startFileWork(console: LinuxConsole, source = '/etc'): Promise<void> {
  await start(console, 'work', fileWork(source));
  await console.eventually('[ -s /tmp/turns ]');
}

export async function fileTurns(console: LinuxConsole): Promise<number> {
  const wrong = await console.run('cat /tmp/wrong');
  if (wrong.status === 0) throw new Error(`the file work went wrong: ${wrong.text}`);
  return Number(await console.output('cat /tmp/turns'));
}

export const startRedis = (console: LinuxConsole): Promise<string> =>
  console.output('redis-server --bind 0.0.0.0 --protected-mode no --save "" --port 7000 --daemonize yes');

/** Goes on until endRedisBenchmark(), a line of its output for so many requests of a kind. Ends at the first error. */
export const startRedisBenchmark = (
  console: LinuxConsole,
  address: string,
  requests: number,
): Promise<void> =>
  start(
    console,
    'benchmark',
    `stdbuf -oL redis-benchmark -h ${address} -p 7000 -c 8 -d 512 -n ${requests} -t set,get -q --csv -l
echo $? >/tmp/status`,
  );

const benchmarkLines = async (console: LinuxConsole): Promise<number> =>
  Number(await console.output('wc -l </tmp/benchmark.log'));

/** Waits until the benchmark, which has run all the time, has had answers to all of two kinds of requests more. */
export async function redisGoesOn(console: LinuxConsole): Promise<void> {
  await console.output('[ ! -e /tmp/status ] || ! cat /tmp/benchmark.log');
  const lines = await benchmarkLines(console);
  await console.eventually(`[ $(wc -l </tmp/benchmark.log) -gt $((${lines} + 2)) ] || [ -e /tmp/status ]`);
}

/** Ends the benchmark; answers its last words. Throws when it met an error, before or now. */
export async function endRedisBenchmark(console: LinuxConsole): Promise<string> {
  await console.output('pkill -x redis-benchmark');
  const status = await console.eventually('cat /tmp/status');
  const said = await console.output('tail -n 4 /tmp/benchmark.log');
  const complaint = await console.run('grep -iE "error|refused|reset|closed" /tmp/benchmark.log');
  // Ended by SIGTERM.
  if (status !== '143' || complaint.status === 0)
    throw new Error(`redis-benchmark ended with ${status}: ${complaint.text} ${said}`);
  return said;
}

/**
 * A transfer over TCP that goes on until endTransfer(): so many MiB of noise over and over, five times a second at most.
 * Both sides keep a checksum of all of it.
 */
export async function startTransfer(
  from: LinuxConsole,
  to: LinuxConsole,
  address: string,
  size_mib: number,
): Promise<void> {
  await from.output(`dd if=/dev/urandom of=/tmp/noise bs=1M count=${size_mib} 2>/dev/null`);
  // Its input must not end: it would close its half of the connection, which the other side may take for the end of all.
  const receive =
    'rm -f /tmp/open; mkfifo /tmp/open; busybox nc -l -p 7001 <>/tmp/open | sha256sum >/tmp/sum.new';
  await start(to, 'receiver', `${receive}; mv /tmp/sum.new /tmp/sum`);
  // It may listen on an IPv6 socket, which takes both.
  await to.eventually('grep -q :1B59 /proc/net/tcp /proc/net/tcp6');
  await start(
    from,
    'sender',
    `mkfifo /tmp/sent; sha256sum </tmp/sent >/tmp/sum & round=0
while [ ! -e /tmp/enough ]; do
  cat /tmp/noise; round=$((round + 1)); echo $round >/tmp/rounds.new; mv /tmp/rounds.new /tmp/rounds; sleep 0.2
done | bash -c 'tee /tmp/sent >/dev/tcp/${address}/7001'
echo $? >/tmp/sender.status; wait; touch /tmp/all`,
  );
}

/** Waits until the transfer, which has gone on all the time, has gone through the noise twice more. */
export async function transferGoesOn(from: LinuxConsole, to: LinuxConsole): Promise<void> {
  await to.output('[ ! -e /tmp/sum ]');
  await from.eventually('[ -s /tmp/rounds ]');
  const rounds = Number(await from.output('cat /tmp/rounds'));
  await from.eventually(`[ $(cat /tmp/rounds) -gt $((${rounds} + 2)) ]`);
}

/** Ends the transfer; answers how many times the noise went over. Throws unless all came as it was sent. */
export async function endTransfer(from: LinuxConsole, to: LinuxConsole): Promise<number> {
  await from.output('touch /tmp/enough');
  await from.eventually('[ -e /tmp/all ]');
  const status = await from.output('cat /tmp/sender.status');
  const sent = await from.output('cat /tmp/sum');
  const received = await to.eventually('cat /tmp/sum');
  if (received !== sent || status !== '0')
    throw new Error(`received ${received}, sent ${sent}, status ${status}`);
  return Number(await from.output('cat /tmp/rounds'));
}
