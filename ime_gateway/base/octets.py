"""The one name for octets in memory, whatever holds them: mail is handled without needless copies."""

Buffer = bytes | bytearray | memoryview
