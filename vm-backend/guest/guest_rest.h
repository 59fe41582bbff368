/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_GUEST_REST_H
#define BIVALVE_GUEST_REST_H

/*
 * Waits until nobody but the caller runs in this machine, some seconds at most. What is still to be done when a
 * template is saved, each of its copies does anew: the kernel's grace periods and the work that waits for them, free
 * memory that is to be reported to the host, a second after it was freed.
 */
void guest_rest(void);

#endif
