use super::*;

#[test]
fn labels_are_unique_and_stable_in_form() {
    let mut labels: Vec<_> = FailureReason::ALL.iter().map(|r| r.as_str()).collect();
    assert!(
        labels
            .iter()
            .all(|l| l.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    );
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), FailureReason::ALL.len());
}

#[test]
fn connect_errors() {
    use FailureReason as R;
    let cases = [
        (io::Error::from_raw_os_error(111), R::ConnectRefused),
        (io::Error::from_raw_os_error(110), R::ConnectTimeout),
        (io::Error::from_raw_os_error(113), R::Connect),
        (io::Error::from_raw_os_error(101), R::Connect),
        (io::Error::from_raw_os_error(24), R::Local),
        (io::Error::from_raw_os_error(99), R::Local),
    ];
    for (error, reason) in cases {
        assert_eq!(connect_reason(&error), reason, "{error}");
    }
}

#[test]
fn io_errors_of_an_exchange() {
    use FailureReason as R;
    let cases = [
        (io::Error::from(io::ErrorKind::ConnectionReset), R::Reset),
        (io::Error::from(io::ErrorKind::BrokenPipe), R::Reset),
        (io::Error::from(io::ErrorKind::UnexpectedEof), R::Closed),
        (io::Error::from(io::ErrorKind::InvalidData), R::Protocol),
        (
            io::Error::other(OverLimit { reads: 1 }),
            R::ResponseTooLarge,
        ),
        (io::Error::other(rustls::Error::DecryptError), R::Tls),
    ];
    for (error, reason) in cases {
        assert_eq!(io_reason(&error), reason, "{error}");
    }
}

#[test]
fn handshake_errors() {
    use FailureReason as R;
    use rustls::AlertDescription as Alert;
    let cases = [
        (
            rustls::Error::AlertReceived(Alert::HandshakeFailure),
            R::TlsIncompatible,
        ),
        (
            rustls::Error::AlertReceived(Alert::ProtocolVersion),
            R::TlsIncompatible,
        ),
        (
            rustls::Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
            R::TlsIncompatible,
        ),
        (
            rustls::Error::InvalidCertificate(rustls::CertificateError::Expired),
            R::Tls,
        ),
        (
            rustls::Error::AlertReceived(Alert::UnknownCA),
            R::TlsClientCertificate,
        ),
        (
            rustls::Error::AlertReceived(Alert::CertificateRequired),
            R::TlsClientCertificate,
        ),
        (rustls::Error::AlertReceived(Alert::InternalError), R::Tls),
        (
            rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer),
            R::Tls,
        ),
    ];
    for (error, reason) in cases {
        // As hyper-rustls wraps it: the TLS layer's io error inside another.
        let text = error.to_string();
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(handshake_reason(&wrapped), reason, "{text}");
    }
    let closed = io::Error::from(io::ErrorKind::UnexpectedEof);
    assert_eq!(handshake_reason(&closed), R::Tls);
}

/// What is told to tenants: one line a case.
#[test]
fn before_a_connection_stands_all_failures_look_alike() {
    use FailureReason as R;
    let alike = [
        R::DnsInternal,
        R::ConnectRefused,
        R::ConnectTimeout,
        R::Connect,
        R::ForbiddenAddress,
    ];
    for reason in R::ALL {
        let shown = reason.shown();
        assert_eq!(R::named(reason.as_str()), Some(reason));
        if alike.contains(&reason) {
            assert_eq!(shown, R::ForbiddenAddress.shown(), "{reason}");
            assert_ne!(reason.side(), Side::Us, "{reason} counts as theirs");
        } else if reason.is_outage_of_ours() {
            assert_eq!(shown.reason, "internal", "{reason}");
            assert_eq!(shown.side, reason.side());
        } else {
            assert_eq!(shown.reason, reason.as_str());
            assert_eq!(shown.side, reason.side());
        }
    }
    assert_eq!(R::named("nonsense"), None);
}

#[test]
fn sides() {
    assert_eq!(FailureReason::NotStarted.side(), Side::Us);
    assert_eq!(FailureReason::Local.side(), Side::Us);
    assert_eq!(FailureReason::ConnectRefused.side(), Side::Receiver);
    assert_eq!(FailureReason::Dns.side(), Side::Network);
    assert_eq!(FailureReason::ForbiddenAddress.side(), Side::Receiver);
}
