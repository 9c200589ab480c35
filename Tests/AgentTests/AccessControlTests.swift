import HTTPServer
import LocalAPI
import Posix
import Testing

@testable import Agent

@Suite struct AccessControlTests {
  private let lines = Lines()

  /// Groups of this machine stand for the hall's: every system has `daemon` and `bin`.
  private func access() throws -> AccessControl {
    var configuration = try Office.configuration()
    configuration.technicianGroup = "daemon"
    configuration.administratorGroup = "bin"
    return AccessControl(configuration, log: lines.log)
  }

  private func role(
    _ access: AccessControl, user: UInt32, group: UInt32, groups: [UInt32] = [], route: Route = .status
  ) async -> Result<Role, Problem> {
    let peer = PeerCredentials(processID: 1, userID: user, groupID: group, supplementaryGroups: groups)
    do throws(Problem) {
      guard let request = ServerRequest(method: "GET", target: "/v1/status", peer: peer) else {
        return .failure(Problem(.malformed))
      }
      return .success(try access.caller(of: request, language: .english, for: route).role)
    } catch {
      return .failure(error)
    }
  }

  @Test func `roles follow the kernel's word on user and groups`() async throws {
    let access = try access()
    let technician = try ProcessInfo.groupID(named: "daemon")
    let administrator = try ProcessInfo.groupID(named: "bin")
    #expect(try await role(access, user: 4000, group: 4000).get() == .counter)
    #expect(try await role(access, user: 4000, group: technician).get() == .technician)
    #expect(try await role(access, user: 4000, group: 4000, groups: [9, technician]).get() == .technician)
    #expect(
      try await role(access, user: 4000, group: technician, groups: [administrator]).get() == .administrator)
    #expect(try await role(access, user: 0, group: 0).get() == .administrator)
    #expect(try await role(access, user: ProcessInfo.userID, group: 4000).get() == .administrator)
  }

  @Test func `a refusal names the role that is needed and is logged once for a user and a route`()
    async throws
  {
    let access = try access()
    for _ in 1...5 {
      let refused = await role(access, user: 4000, group: 4000, route: .reload)
      #expect(throws: Problem(.forbidden, "needs the role technician; uid 4000 has counter")) {
        try refused.get()
      }
    }
    #expect(lines.containing("uid 4000 (counter) was refused reload: needs technician").count == 1)
    _ = await role(access, user: 4000, group: 4000, route: .listOutbox)
    _ = await role(access, user: 4001, group: 4001, route: .reload)
    #expect(lines.all.count == 3)
  }

  @Test func `a caller of whom the kernel says nothing is refused`() throws {
    let access = try access()
    let request = try #require(ServerRequest(method: "GET", target: "/v1/status"))
    #expect(throws: Problem(.forbidden, "the kernel does not say who calls")) {
      try access.caller(of: request, language: .english, for: .status)
    }
  }

  @Test func `groups that do not exist give nobody a role, and a reload takes new ones`() async throws {
    var configuration = try Office.configuration()
    configuration.technicianGroup = "no-such-group-here"
    let access = AccessControl(configuration, log: lines.log)
    let technician = try ProcessInfo.groupID(named: "daemon")
    #expect(try await role(access, user: 4000, group: technician).get() == .counter)
    configuration.technicianGroup = "daemon"
    access.update(configuration)
    #expect(try await role(access, user: 4000, group: technician).get() == .technician)
  }
}
