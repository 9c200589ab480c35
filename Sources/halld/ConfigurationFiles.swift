import Agent
import Codecs
import Devices
import Drivers
import LocalAPI
import Posix

/// Reads the configuration and the profiles it names, and checks the whole.
enum ConfigurationFiles {
  /// The standard place.
  static let standard = "/etc/hall-agent/hall-agent.conf"

  /// Everything a run needs from files. Throws every mistake, each with file, line and column.
  static func read(_ path: String) throws(ConfErrors) -> (Configuration, ProfileSet) {
    let configuration = try Configuration.read(try text(path), file: path)
    let directories = configuration.profiles.isEmpty ? shippedProfiles : configuration.profiles
    let (profiles, mistakes) = try self.profiles(in: directories)
    var errors = mistakes
    errors += configuration.check(profiles: profiles, drivers: Catalog.drivers)
    for path in neededFiles(configuration) where !Files.exists(path) {
      let start = ConfPosition(file: path, line: 1, column: 1)
      errors.append(
        ConfError(
          .contradiction(ConfExpected(english: "there is no \(path)", chinese: "“\(path)”不存在")),
          at: configuration.place(of: path) ?? start))
    }
    if !errors.isEmpty { throw ConfErrors(errors) }
    return (configuration, profiles)
  }

  /// What a configuration names and cannot do without. Of the directories of profiles that is the maker's, the first: the
  /// administrator's own may well not be there.
  private static func neededFiles(_ configuration: Configuration) -> [String] {
    (configuration.profiles.first.map { [$0] } ?? [])
      + [configuration.keyFile, configuration.simulation].filter { !$0.isEmpty && $0 != "builtin" }
  }

  /// Profiles of these directories, later ones over earlier ones.
  static func profiles(in directories: [String]) throws(ConfErrors) -> (ProfileSet, [ConfError]) {
    var files: [(path: String, text: [UInt8])] = []
    for directory in directories {
      for name in (try? Files.list(directory)) ?? [] where name.hasSuffix(".conf") {
        files.append((directory + "/" + name, try text(directory + "/" + name)))
      }
    }
    let (profiles, errors) = ProfileSet.read(files, drivers: Catalog.drivers)
    return (profiles, errors)
  }

  /// Where the profiles of this installation are: beside the program (`../share/hall-agent/profiles`), or in the source
  /// tree it was built in.
  static var shippedProfiles: [String] {
    if let set = Environment["HALL_PROFILES"], !set.isEmpty { return [set] }
    var candidates = ["/usr/share/hall-agent/profiles"]
    if let program = try? Files.realPath("/proc/self/exe") {
      var directory = Files.directory(of: program)
      candidates.insert(Files.directory(of: directory) + "/share/hall-agent/profiles", at: 0)
      while directory != "/", !directory.isEmpty {
        candidates.insert(directory + "/config/profiles", at: 0)
        directory = Files.directory(of: directory)
      }
    }
    return candidates.first(where: Files.exists).map { [$0] } ?? []
  }

  /// A file's text.
  static func text(_ path: String) throws(ConfErrors) -> [UInt8] {
    do throws(SystemError) {
      return try Files.read(path, limit: 4 << 20)
    } catch {
      throw ConfErrors([
        ConfError(
          .contradiction(
            ConfExpected(english: "the file cannot be read: \(error)", chinese: "无法读取文件：\(error)")),
          at: ConfPosition(file: path, line: 1, column: 1))
      ])
    }
  }

  /// Prints mistakes, one a line, and returns the exit status.
  static func refuse(_ errors: ConfErrors, _ language: Language) -> Int32 {
    for error in errors.errors {
      StandardStreams.writeError(error.text(chinese: language == .chinese) + "\n")
    }
    return 78
  }
}
