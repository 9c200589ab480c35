import Agent
import Codecs
import Console
import Devices
import LocalAPI
import Posix

/// `halld check-config FILE`
enum CheckConfigVerb {
  static func run(_ words: [String]) async throws(UsageError) -> Int32 {
    let arguments = try Arguments.parse(words, options: [])
    guard let path = arguments.words.first else { throw UsageError(.missingWord("FILE")) }
    if arguments.words.count > 1 { throw UsageError(.superfluousWord(arguments.words[1])) }
    do throws(ConfErrors) {
      let (configuration, profiles) = try ConfigurationFiles.read(path)
      StandardStreams.writeOut(
        Halld.language.choose(
          "\(path)：配置正确（\(configuration.slots.count) 台设备，\(profiles.names.count) 个设备档案）\n",
          "\(path): correct (\(configuration.slots.count) devices, \(profiles.names.count) profiles)\n"))
      return ExitCode.ok
    } catch {
      return ConfigurationFiles.refuse(error, Halld.language)
    }
  }
}
