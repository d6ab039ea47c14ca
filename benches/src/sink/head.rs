//! Where a request ends: the least of HTTP/1.1 that finds it.

/// What a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole request, body included.
    Whole(Head),
    /// The beginning of one.
    Partial,
    /// Something else.
    Wrong,
}

/// The extent of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Path of a GET.
    pub(super) get: Option<String>,
    /// Bytes to the end of the empty line.
    pub(super) head: usize,
    /// Bytes of the body.
    pub(super) body: usize,
}

const END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"content-length:";

/// Looks at the request that `buffer` begins with.
pub(super) fn parse(buffer: &[u8]) -> Parsed {
    let Some(end) = buffer.windows(END.len()).position(|bytes| bytes == END) else {
        return Parsed::Partial;
    };
    let (head, lines) = (end + END.len(), &buffer[..end]);
    let get = match (lines.strip_prefix(b"GET "), lines.starts_with(b"POST ")) {
        (Some(rest), _) => {
            let path = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            Some(String::from_utf8_lossy(path).into_owned())
        }
        (None, true) => None,
        (None, false) => return Parsed::Wrong,
    };
    let body = match (length(lines), &get) {
        (Some(body), _) => body,
        (None, Some(_)) => 0,
        (None, None) => return Parsed::Wrong,
    };
    if buffer.len() < head + body {
        return Parsed::Partial;
    }
    Parsed::Whole(Head { get, head, body })
}

fn length(lines: &[u8]) -> Option<usize> {
    let value = lines.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(LENGTH.len())?;
        name.eq_ignore_ascii_case(LENGTH).then_some(value)
    })?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_where_they_say() {
        let post = b"POST /a HTTP/1.1\r\nhost: x\r\nContent-Length: 3\r\n\r\nabcPOST";
        let whole = Head {
            get: None,
            head: post.len() - 7,
            body: 3,
        };
        assert_eq!(parse(post), Parsed::Whole(whole));
        for end in 0..post.len() - 4 {
            assert_eq!(parse(&post[..end]), Parsed::Partial, "{end}");
        }
        let get = Head {
            get: Some("/stats".to_owned()),
            head: 23,
            body: 0,
        };
        assert_eq!(parse(b"GET /stats HTTP/1.0\r\n\r\n"), Parsed::Whole(get));
        assert_eq!(parse(b"POST /a HTTP/1.1\r\n\r\n"), Parsed::Wrong);
        assert_eq!(parse(b"\0\0\r\n\r\n"), Parsed::Wrong);
    }
}
