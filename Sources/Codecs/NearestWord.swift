/// Finds the known word a person most probably meant, for "did you mean …?".
///
/// The measure is the Damerau–Levenshtein distance (optimal string alignment form): insertions, deletions,
/// substitutions and swaps of neighbours count one each. Case is ignored, so that `Window` finds `window`.
public enum NearestWord {
  /// Words longer than this are never compared; nobody types them by mistake.
  static let longestWord = 64

  /// The candidate nearest to `word`, or nil when none is near enough to be worth suggesting.
  ///
  /// Near enough: at most one slip per three characters of the longer word, and at least one kept character. Of
  /// equally near candidates the one that starts with the same character wins, then the earlier one.
  public static func find(_ word: String, in candidates: some Sequence<String>) -> String? {
    let typed = folded(word)
    guard !typed.isEmpty, typed.count <= longestWord else { return nil }
    var best: (word: String, distance: Int, sameStart: Bool)?
    for candidate in candidates {
      let known = folded(candidate)
      guard !known.isEmpty, known.count <= longestWord else { continue }
      let longer = max(typed.count, known.count)
      let limit = longer < 3 ? 0 : max(1, longer / 3)
      guard abs(typed.count - known.count) <= limit else { continue }
      let distance = distance(typed, known)
      guard distance <= limit, distance < longer else { continue }
      let sameStart = typed.first == known.first
      if let found = best {
        guard distance < found.distance || (distance == found.distance && sameStart && !found.sameStart)
        else { continue }
      }
      best = (candidate, distance, sameStart)
    }
    return best?.word
  }

  /// Damerau–Levenshtein distance (optimal string alignment) of two words, exact case.
  public static func distance(_ first: String, _ second: String) -> Int {
    distance(Array(first), Array(second))
  }

  private static func folded(_ word: String) -> [Character] { Array(word.lowercased()) }

  private static func distance(_ first: [Character], _ second: [Character]) -> Int {
    if first.isEmpty || second.isEmpty { return max(first.count, second.count) }
    var twoAbove: [Int] = []
    var above = Array(0...second.count)
    for row in 1...first.count {
      var current = [row]
      current.reserveCapacity(second.count + 1)
      for column in 1...second.count {
        let same = first[row - 1] == second[column - 1]
        var cost = min(above[column] + 1, current[column - 1] + 1, above[column - 1] + (same ? 0 : 1))
        if row > 1, column > 1, first[row - 1] == second[column - 2], first[row - 2] == second[column - 1] {
          cost = min(cost, twoAbove[column - 2] + 1)
        }
        current.append(cost)
      }
      twoAbove = above
      above = current
    }
    return above[second.count]
  }
}
