import LocalAPI
import Testing
import WireJSON

@Suite struct EventHubTests {
  private func text(_ chunk: [UInt8]?) -> String { String(decoding: chunk ?? [], as: UTF8.self) }

  @Test(.timeLimit(.minutes(1))) func `listeners get what happens, in order and with rising ids`() async {
    let hub = EventHub(firstID: 100)
    var iterator = await hub.subscribe(after: nil).makeAsyncIterator()
    #expect(text(await iterator.next()).contains("retry: 1000"))
    await hub.publish("device", ["role": "idcard"])
    await hub.publish("device", ["role": "scanner"])
    #expect(text(await iterator.next()) == "id: 100\nevent: device\ndata: {\"role\":\"idcard\"}\n\n")
    #expect(text(await iterator.next()) == "id: 101\nevent: device\ndata: {\"role\":\"scanner\"}\n\n")
  }

  @Test(.timeLimit(.minutes(1))) func `a listener that comes back gets what it missed`() async {
    let hub = EventHub(firstID: 1)
    for number in 1...5 { await hub.publish("n", .integer(Int64(number))) }
    var iterator = await hub.subscribe(after: 3).makeAsyncIterator()
    _ = await iterator.next()
    #expect(text(await iterator.next()).hasPrefix("id: 4\n"))
    #expect(text(await iterator.next()).hasPrefix("id: 5\n"))
  }

  @Test(.timeLimit(.minutes(1))) func `a listener that was away too long is told of the gap`() async {
    let hub = EventHub(firstID: 1, capacity: 2)
    for number in 1...5 { await hub.publish("n", .integer(Int64(number))) }
    var iterator = await hub.subscribe(after: 1).makeAsyncIterator()
    _ = await iterator.next()
    #expect(text(await iterator.next()).contains("event: gap"))
    #expect(text(await iterator.next()).hasPrefix("id: 4\n"))
  }

  @Test(.timeLimit(.minutes(1))) func `a listener that does not read is let go, and the others go on`() async
  {
    let hub = EventHub(firstID: 1, capacity: 4, listenerBacklog: 2)
    let slow = await hub.subscribe(after: nil)
    for number in 1...50 { await hub.publish("n", .integer(Int64(number))) }
    #expect(await hub.listenerCount == 0)
    var received = 0
    for await _ in slow { received += 1 }
    #expect(received == 6)
  }
}
