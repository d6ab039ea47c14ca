//! A canary that tells whether anybody came.

use std::net::{SocketAddr, TcpStream};

use hooklane_test_support::Canary;

/// Somebody who was there and has gone is found as well.
#[test]
fn tells_silence_from_a_visit() {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Canary::at(anywhere).unwrap().heard_nothing().unwrap();
    let canary = Canary::at(anywhere).unwrap();
    drop(TcpStream::connect(canary.addr().unwrap()).unwrap());
    let error = canary.heard_nothing().unwrap_err();
    assert!(error.to_string().contains("before us"), "{error}");
}
