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

/** Ends when so many requests of each kind have been answered; its exit status goes to /tmp/status. */
export const startRedisBenchmark = (
  console: LinuxConsole,
  address: string,
  requests: number,
): Promise<void> =>
  start(
    console,
    'benchmark',
    `redis-benchmark -h ${address} -p 7000 -c 8 -d 512 -n ${requests} -t set,get -q --csv
echo $? >/tmp/status`,
  );

/** What the client said. Throws when it met an error. */
export async function redisResult(console: LinuxConsole): Promise<string> {
  const status = await console.eventually('cat /tmp/status');
  const said = await console.output('cat /tmp/benchmark.log');
  if (status !== '0' || /error|refused|reset|closed/i.test(said))
    throw new Error(`redis-benchmark ended with ${status}: ${said}`);
  return said;
}

/** A transfer of so many MiB of noise over TCP, whose checksum the receiver compares in the end (/tmp/sum). */
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
  await start(from, 'sender', `bash -c 'cat /tmp/noise >/dev/tcp/${address}/7001'`);
}

/** Waits for the transfer's end; throws unless all came as it was sent. */
export async function transferIsRight(from: LinuxConsole, to: LinuxConsole): Promise<void> {
  const received = await to.eventually('cat /tmp/sum');
  const sent = await from.output('sha256sum </tmp/noise');
  if (received !== sent) throw new Error(`received ${received}, sent ${sent}`);
}
