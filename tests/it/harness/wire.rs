//! gRPC by hand over HTTP/2: headers of the test's choice, deadlines that only the server minds, connections that break.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use prost::Message;
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::{
    Code, Status,
    codegen::http::{HeaderMap, Request},
};

use super::{Server, within};

/// One connection. Dropping it cuts it off, as if the client's machine had lost its network.
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One call.
pub(crate) struct Call {
    pub(crate) sending: SendStream<Bytes>,
    response: ResponseFuture,
}

/// How a call ended, and with which headers.
pub(crate) struct Ended {
    pub(crate) status: Status,
    pub(crate) headers: HeaderMap,
}

impl Connection {
    pub(crate) async fn open(server: &Server) -> Self {
        let stream = within("a connection", TcpStream::connect(server.address()))
            .await
            .expect("connect");
        let (sender, connection) = within("a handshake", h2::client::handshake(stream))
            .await
            .expect("a handshake");
        let driver = tokio::spawn(async move { drop(connection.await) });
        Self { sender, driver }
    }

    pub(crate) async fn call(&self, path: &str, headers: &[(&str, &str)]) -> Call {
        let mut sender = within("a free stream", self.sender.clone().ready())
            .await
            .expect("open");
        let mut request = Request::post(format!("http://bus{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("valid headers");
        let (response, sending) = sender.send_request(request, false).expect("send the headers");
        Call { sending, response }
    }

    /// A whole call with one message, to its end.
    pub(crate) async fn unary(&self, path: &str, headers: &[(&str, &str)], message: &impl Message) -> Ended {
        let mut call = self.call(path, headers).await;
        call.send(message);
        call.sending.send_data(Bytes::new(), true).expect("half-close");
        call.end().await
    }
}

impl Call {
    pub(crate) fn send(&mut self, message: &impl Message) {
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).expect("short"));
        frame.put_slice(&message.encode_to_vec());
        self.sending.send_data(frame.freeze(), false).expect("send a message");
    }

    /// The answer's body, of which nothing is read yet.
    pub(crate) async fn begun(self) -> (SendStream<Bytes>, RecvStream) {
        let response = within("an answer", self.response).await.expect("an answer");
        (self.sending, response.into_body())
    }

    /// Reads to the end of the call.
    pub(crate) async fn end(self) -> Ended {
        let response = within("an answer", self.response).await.expect("an answer");
        let (parts, mut body) = response.into_parts();
        let mut headers = parts.headers;
        while let Some(data) = within("the body", body.data()).await {
            let length = data.expect("a body").len();
            body.flow_control().release_capacity(length).expect("release");
        }
        if let Some(trailers) = within("the trailers", body.trailers()).await.expect("a body") {
            headers.extend(trailers);
        }
        let status = Status::from_header_map(&headers).unwrap_or_else(|| Status::new(Code::Unknown, "no status"));
        Ended { status, headers }
    }
}
