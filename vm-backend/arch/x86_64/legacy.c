/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port devices: a serial port for the early console, the real-time clock, the keyboard controller's reset and the ACPI
 * sleep register. All other ports read 0xff and swallow writes (bus.c).
 *
 * What they do not do is chosen by what a boot costs: the status port of the keyboard controller reads 0xff like an
 * absent one, or Linux polls it ten thousand times; the clock never says "update in progress", or Linux waits a second.
 */
#include <linux/serial_reg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vm-backend/arch/x86_64/layout.h"
#include "vm-backend/machine.h"

static void serial_flush(struct legacy *l)
{
	if (l->serial.len > 0 && write(l->serial.log_fd, l->serial.line, l->serial.len) < 0)
		l->serial.len = 0; /* a log that cannot be written is no reason to stop the guest */
	l->serial.len = 0;
}

static void serial_put(struct legacy *l, uint8_t c)
{
	if (l->serial.mcr & UART_MCR_LOOP)
		return;
	l->serial.line[l->serial.len++] = (char)c;
	if (c == '\n' || l->serial.len == sizeof l->serial.line)
		serial_flush(l);
}

/* Raises the interrupt if the transmitter is empty (it always is) and the guest asked to be told. */
static void serial_tell(struct legacy *l)
{
	l->serial.thri = true;
	if (l->serial.ier & UART_IER_THRI)
		irq_line_raise(&l->serial.irq);
}

static void serial_write(struct legacy *l, unsigned reg, uint8_t value)
{
	bool divisor = l->serial.lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX:
		if (divisor) {
			l->serial.dll = value;
			break;
		}
		serial_put(l, value);
		serial_tell(l);
		break;
	case UART_IER:
		if (divisor) {
			l->serial.dlm = value;
			break;
		}
		l->serial.ier = value & 0x0f;
		if (value & UART_IER_THRI)
			serial_tell(l);
		break;
	case UART_FCR:
		l->serial.fcr = value;
		break;
	case UART_LCR:
		l->serial.lcr = value;
		break;
	case UART_MCR:
		l->serial.mcr = value & 0x1f;
		break;
	case UART_SCR:
		l->serial.scr = value;
		break;
	}
}

static uint8_t serial_read(struct legacy *l, unsigned reg)
{
	bool divisor = l->serial.lcr & UART_LCR_DLAB;
	uint8_t iir = l->serial.fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0;

	switch (reg) {
	case UART_RX:
		return divisor ? l->serial.dll : 0;
	case UART_IER:
		return divisor ? l->serial.dlm : l->serial.ier;
	case UART_IIR:
		if (!l->serial.thri || !(l->serial.ier & UART_IER_THRI))
			return iir | UART_IIR_NO_INT;
		l->serial.thri = false;
		return iir | UART_IIR_THRI;
	case UART_LCR:
		return l->serial.lcr;
	case UART_MCR:
		return l->serial.mcr;
	case UART_LSR:
		return UART_LSR_TEMT | UART_LSR_THRE;
	case UART_MSR:
		/* In loop-back the outputs come back as inputs: how a driver tells a real port. */
		if (l->serial.mcr & UART_MCR_LOOP)
			return (uint8_t)((l->serial.mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
					(l->serial.mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
					(l->serial.mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
					(l->serial.mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0));
		return UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
	case UART_SCR:
		return l->serial.scr;
	}
	return 0xff;
}

static void serial_access(void *owner, uint64_t offset, void *data, unsigned len, bool write)
{
	struct legacy *l = owner;
	uint8_t *byte = data;

	if (len != 1)
		return;
	pthread_mutex_lock(&l->lock);
	if (write)
		serial_write(l, (unsigned)offset, *byte);
	else
		*byte = serial_read(l, (unsigned)offset);
	pthread_mutex_unlock(&l->lock);
}

static uint8_t bcd(int n)
{
	return (uint8_t)(n / 10 % 10 << 4 | n % 10);
}

/*
 * Date of a day since 1970 in the Gregorian calendar, by eras of 400 years that start in March. (gmtime would read the
 * time zone's file, which is out of reach in the jail.)
 */
static void civil(int64_t day, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t since = day + 719468; /* days since the first of March of year 0 */
	int64_t era = since / 146097, of_era = since % 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153; /* 0: March */

	*ret_day = (int)(of_year - (153 * month + 2) / 5 + 1);
	*ret_month = (int)(month < 10 ? month + 3 : month - 9);
	*ret_year = (int)(year + era * 400 + (*ret_month <= 2));
}

/* MC146818: the time in BCD, 24 hours. */
static uint8_t cmos_read(uint8_t index)
{
	struct timespec now;
	int year, month, day;
	int64_t seconds;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	seconds = now.tv_sec > 0 ? now.tv_sec : 0;
	civil(seconds / 86400, &year, &month, &day);
	switch (index) {
	case 0x00:
		return bcd((int)(seconds % 60));
	case 0x02:
		return bcd((int)(seconds / 60 % 60));
	case 0x04:
		return bcd((int)(seconds / 3600 % 24));
	case 0x06:
		return bcd((int)((seconds / 86400 + 4) % 7 + 1)); /* 1970 began on a Thursday */
	case 0x07:
		return bcd(day);
	case 0x08:
		return bcd(month);
	case 0x09:
		return bcd(year % 100);
	case 0x0a:
		return 0x26; /* 32768 Hz; no update in progress, ever */
	case 0x0b:
		return 0x02; /* 24 hours, BCD */
	case 0x0d:
		return 0x80; /* the battery is good */
	case 0x32:
		return bcd(year / 100);
	}
	return 0;
}

static void cmos_access(void *owner, uint64_t offset, void *data, unsigned len, bool write)
{
	struct legacy *l = owner;
	uint8_t *byte = data;

	if (len != 1)
		return;
	pthread_mutex_lock(&l->lock);
	if (offset == 0 && write)
		l->cmos_index = *byte & 0x7f;
	else if (offset == 1 && !write)
		*byte = cmos_read(l->cmos_index);
	pthread_mutex_unlock(&l->lock);
}

static void i8042_access(void *owner, uint64_t offset, void *data, unsigned len, bool write)
{
	struct machine *machine = owner;

	if (write && len == 1 && offset == 4 && *(const uint8_t *)data == I8042_RESET)
		machine_stop(machine, 0, "reset");
}

static void sleep_access(void *owner, uint64_t offset, void *data, unsigned len, bool write)
{
	struct machine *machine = owner;
	uint8_t *byte = data;
	enum { SLP_TYP_SHIFT = 2, SLP_EN = 1 << 5 };

	if (len != 1)
		return;
	if (!write)
		*byte = 0;
	else if (offset == 0 && *byte == (SLP_EN | SLEEP_S5 << SLP_TYP_SHIFT))
		machine_stop(machine, 0, "power off");
}

void arch_flush(struct machine *machine)
{
	pthread_mutex_lock(&machine->legacy.lock);
	serial_flush(&machine->legacy);
	pthread_mutex_unlock(&machine->legacy.lock);
}

int legacy_init(struct machine *machine, struct error *err)
{
	struct legacy *l = &machine->legacy;

	pthread_mutex_init(&l->lock, NULL);
	l->machine = machine;
	l->serial.log_fd = machine->config->log_fd;
	l->serial.irq.fd = -1;
	bus_add(&machine->ports, &(struct bus_range){ CMOS_PORT, 2, cmos_access, l });
	bus_add(&machine->ports, &(struct bus_range){ I8042_PORT, 5, i8042_access, machine });
	bus_add(&machine->ports, &(struct bus_range){ SLEEP_PORT, 2, sleep_access, machine });
	if (l->serial.log_fd < 0)
		return 0;
	bus_add(&machine->ports, &(struct bus_range){ SERIAL_PORT, 8, serial_access, l });
	return irq_line_open(&l->serial.irq, machine->vm_fd, SERIAL_GSI, err);
}
