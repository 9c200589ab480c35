import Testing

@testable import Agent

@Suite struct AttachPolicyTests {
  @Test func `waits double from a fifth of a second to half a minute`() {
    var policy = AttachPolicy()
    let waits = (1...11).map { _ in policy.failed() }
    #expect(
      waits
        == [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000].map {
          Duration.milliseconds($0)
        })
  }

  @Test
  func `a device that was in service for a while is tried again at once, a flapping one less and less often`()
  {
    var policy = AttachPolicy()
    #expect(policy.lost(after: .seconds(3600)) == .milliseconds(200))
    #expect(policy.lost(after: .seconds(3)) == .milliseconds(400))
    #expect(policy.lost(after: .seconds(3)) == .milliseconds(800))
    #expect(policy.lost(after: .seconds(10)) == .milliseconds(200))
  }

  @Test func `a plug that goes in is worth an attempt without a longer wait`() {
    var policy = AttachPolicy()
    _ = policy.failed()
    _ = policy.failed()
    policy.changed()
    #expect(policy.failed() == .milliseconds(400))
    for _ in 1...5 { policy.changed() }
    #expect(policy.failed() == .milliseconds(200))
  }

  @Test func `a hundred thousand failures do no harm`() {
    var policy = AttachPolicy()
    for _ in 1...100_000 { _ = policy.failed() }
    #expect(policy.failed() == .seconds(30))
  }
}
