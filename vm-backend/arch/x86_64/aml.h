/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_X86_AML_H
#define BIVALVE_X86_AML_H

#include <stddef.h>
#include <stdint.h>

/*
 * A writer of ACPI Machine Language (ACPI 6.4, chapter 20), for as much as describing fixed devices takes. What does
 * not fit is dropped and counted: check overflow at the end.
 */
struct aml {
	uint8_t *buf;
	size_t len, size;
	size_t open[8];         /* where the packages that are open have their lengths */
	unsigned depth;
	int overflow;
};

void aml_raw(struct aml *aml, const void *bytes, size_t len);
/* A path of 4-letter names; "\\_SB_" and "VR00" are whole paths. */
void aml_begin_scope(struct aml *aml, const char *path);
void aml_begin_device(struct aml *aml, const char *name);
/* Name(name, …): the value follows. */
void aml_name(struct aml *aml, const char *name);
void aml_begin_package(struct aml *aml, uint8_t elements);
void aml_string(struct aml *aml, const char *text);
void aml_integer(struct aml *aml, uint32_t value);
/* A buffer of resource descriptors; aml_end adds the end tag. */
void aml_begin_resources(struct aml *aml);
void aml_memory32(struct aml *aml, uint32_t base, uint32_t bytes);
void aml_io(struct aml *aml, uint16_t base, uint8_t bytes);
void aml_interrupt_edge(struct aml *aml, uint32_t gsi);
void aml_end_resources(struct aml *aml);
void aml_end(struct aml *aml);

#endif
