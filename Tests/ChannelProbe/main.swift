// Uses one channel as a script on standard input says and prints what came of it: tests run it where they cannot run
// themselves, in a kernel lab's guest and under umockdev. No driver and no agent is in between.
//
//   open ADDRESS [layout=81/02] [leave-kernel-driver] [no-return] [zero-packet] [read-size=N]    opened LAYOUTS
//   write HEX [MILLISECONDS] · fill COUNT [MILLISECONDS]                                         ok
//   read COUNT [MILLISECONDS]                                                                    HEX
//   begin COMMAND                  begins a read or write that goes on beside what follows       begun
//   cancel                         cancels it                                                    ok
//   joined                         what became of it
//   layout 81/02 · discard · close                                                               ok
//   status · id · resources
//
// Every command prints one line; failures as `error REASON`, of writes as `error after N: REASON`.
import Channels
import LinuxChannels
import Posix

let probe = Probe()
while let line = readLine() {
  let words = line.split(separator: " ").map(String.init)
  guard let command = words.first, !command.hasPrefix("#") else { continue }
  StandardStreams.writeOut(await probe.run(command, Array(words.dropFirst())) + "\n")
}
