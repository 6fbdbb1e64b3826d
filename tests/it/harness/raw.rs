//! A client that sends bytes as they are: what no stub would send.

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::{
    Request, Response, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::{Server, within};

impl Server {
    /// A unary call of `/tidings.v1.…` with these bytes as its message.
    pub(crate) async fn raw_unary(&self, path: &'static str, message: Bytes) -> Result<Response<Bytes>, Status> {
        let mut client = Grpc::new(self.channel());
        within("a connection", client.ready()).await.expect("connected");
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
        within("a raw call", client.unary(Request::new(message), path, Raw)).await
    }

    /// A call that streams both ways, with these messages; then the client says no more, or waits.
    pub(crate) async fn raw_stream(
        &self,
        path: &'static str,
        messages: impl tokio_stream::Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut client = Grpc::new(self.channel());
        within("a connection", client.ready()).await.expect("connected");
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
        let call = client.streaming(Request::new(messages), path, Raw);
        Ok(within("a raw stream", call).await?.into_inner())
    }
}

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
