//! The difference of two short texts, line by line.

/// Lines of `before` and `after`: `-` only before, `+` only after, a space
/// both. By longest common subsequence, in the product of both lengths: meant
/// for specs of some hundred lines.
#[must_use]
pub fn difference(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // common[i][j]: how many lines old[i..] and new[j..] have in common.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!(" {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("-{}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+{}", new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        for (before, after, lines) in [
            ("", "", &[][..]),
            ("a\nb", "a\nb", &[" a", " b"]),
            ("", "a", &["+a"]),
            ("a", "", &["-a"]),
            ("a\nb\nc", "a\nx\nc", &[" a", "-b", "+x", " c"]),
            ("a\nb\nc", "b\nc\nd", &["-a", " b", " c", "+d"]),
            ("a\nb", "b\na", &["-a", " b", "+a"]),
        ] {
            assert_eq!(difference(before, after), lines, "{before:?} {after:?}");
        }
    }
}
