/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AML. A package's length stands in front of it and counts itself, so room for its three-byte form is left and filled
 * at the end. The size of a resource buffer is a 16-bit constant for the same reason.
 */
#include <string.h>

#include "vm-backend/arch/x86_64/aml.h"

enum {
	OP_ZERO = 0x00,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_EXTENDED = 0x5b,
	OP_DEVICE = 0x82,               /* after OP_EXTENDED */
	PACKAGE_LENGTH = 3,
	RESOURCE_END = 0x79,
};

void aml_raw(struct aml *aml, const void *bytes, size_t len)
{
	if (aml->overflow || len > aml->size - aml->len) {
		aml->overflow = 1;
		return;
	}
	memcpy(aml->buf + aml->len, bytes, len);
	aml->len += len;
}

static void byte(struct aml *aml, uint8_t value)
{
	aml_raw(aml, &value, 1);
}

static void begin(struct aml *aml)
{
	static const uint8_t room[PACKAGE_LENGTH];

	if (aml->depth == sizeof aml->open / sizeof *aml->open) {
		aml->overflow = 1;
		return;
	}
	aml->open[aml->depth++] = aml->len;
	aml_raw(aml, room, sizeof room);
}

void aml_end(struct aml *aml)
{
	size_t at, len;

	if (aml->overflow)
		return;
	at = aml->open[--aml->depth];
	len = aml->len - at;
	aml->buf[at] = (uint8_t)(0x80 | (len & 0xf));
	aml->buf[at + 1] = (uint8_t)(len >> 4);
	aml->buf[at + 2] = (uint8_t)(len >> 12);
}

void aml_begin_scope(struct aml *aml, const char *path)
{
	byte(aml, OP_SCOPE);
	begin(aml);
	aml_raw(aml, path, strlen(path));
}

void aml_begin_device(struct aml *aml, const char *name)
{
	byte(aml, OP_EXTENDED);
	byte(aml, OP_DEVICE);
	begin(aml);
	aml_raw(aml, name, strlen(name));
}

void aml_name(struct aml *aml, const char *name)
{
	byte(aml, OP_NAME);
	aml_raw(aml, name, strlen(name));
}

void aml_begin_package(struct aml *aml, uint8_t elements)
{
	byte(aml, OP_PACKAGE);
	begin(aml);
	byte(aml, elements);
}

void aml_string(struct aml *aml, const char *text)
{
	byte(aml, OP_STRING);
	aml_raw(aml, text, strlen(text) + 1);
}

void aml_integer(struct aml *aml, uint32_t value)
{
	if (value == 0) {
		byte(aml, OP_ZERO);
	} else if (value <= UINT8_MAX) {
		byte(aml, OP_BYTE);
		byte(aml, (uint8_t)value);
	} else {
		byte(aml, OP_DWORD);
		aml_raw(aml, &value, sizeof value);
	}
}

void aml_begin_resources(struct aml *aml)
{
	static const uint8_t size[] = { OP_WORD, 0, 0 };

	byte(aml, OP_BUFFER);
	begin(aml);
	aml_raw(aml, size, sizeof size);
}

void aml_end_resources(struct aml *aml)
{
	static const uint8_t end[] = { RESOURCE_END, 0 }; /* checksum 0: not used */
	size_t start, len;

	aml_raw(aml, end, sizeof end);
	if (aml->overflow)
		return;
	start = aml->open[aml->depth - 1] + PACKAGE_LENGTH + 3; /* OP_WORD and its value */
	len = aml->len - start;
	aml->buf[start - 2] = (uint8_t)len;
	aml->buf[start - 1] = (uint8_t)(len >> 8);
	aml_end(aml);
}

/* 6.4.3.4 */
void aml_memory32(struct aml *aml, uint32_t base, uint32_t bytes)
{
	static const uint8_t head[] = { 0x86, 9, 0, 1 /* writable */ };

	aml_raw(aml, head, sizeof head);
	aml_raw(aml, &base, sizeof base);
	aml_raw(aml, &bytes, sizeof bytes);
}

/* 6.4.2.5 */
void aml_io(struct aml *aml, uint16_t base, uint8_t bytes)
{
	static const uint8_t head[] = { 0x47, 1 /* decodes 16 bits */ };

	aml_raw(aml, head, sizeof head);
	aml_raw(aml, &base, sizeof base);
	aml_raw(aml, &base, sizeof base);
	byte(aml, 0); /* alignment */
	byte(aml, bytes);
}

/* 6.4.3.6 */
void aml_interrupt_edge(struct aml *aml, uint32_t gsi)
{
	static const uint8_t head[] = { 0x89, 6, 0, 3 /* consumer, edge, active high, exclusive */, 1 };

	aml_raw(aml, head, sizeof head);
	aml_raw(aml, &gsi, sizeof gsi);
}
